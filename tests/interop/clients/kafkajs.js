// kafkajs.js BOOTSTRAP TOPIC INPUT OUTPUT
const fs = require('fs');
const { Kafka, logLevel } = require('kafkajs');

const [boot, topic, source, target] = process.argv.slice(2);
const rows = fs.readFileSync(source, 'utf8').split('\n').filter(Boolean).map(line => {
  const [key, header, ...value] = line.split('\t');
  return { key, header, value: value.join('\t') };
});

async function main() {
  const kafka = new Kafka({ clientId: 'interop', brokers: boot.split(','), logLevel: logLevel.ERROR });
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 4, replicationFactor: 3 }], waitForLeaders: true });
  await admin.disconnect();

  const producer = kafka.producer();
  await producer.connect();
  for (let i = 0; i < rows.length; i += 500) {
    const messages = rows.slice(i, i + 500).map(r => ({ key: r.key, value: r.value, headers: { line: r.header } }));
    await producer.send({ topic, acks: -1, messages });
  }
  await producer.disconnect();

  const consumer = kafka.consumer({ groupId: `kafkajs-${topic}` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const lines = [];
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, event => reject(event.payload.error));
    consumer.run({
      eachMessage: async ({ message }) => {
        lines.push(`${message.key}\t${message.headers.line}\t${message.value}`);
        if (lines.length === rows.length) resolve();
      },
    }).catch(reject);
  });
  await consumer.disconnect();
  fs.writeFileSync(target, lines.join('\n') + '\n');
}

main().catch(error => { console.error(error); process.exit(1); });
