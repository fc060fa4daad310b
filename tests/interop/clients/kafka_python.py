"""kafka_python.py BOOTSTRAP TOPIC INPUT OUTPUT"""
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

boot, topic, source, target = sys.argv[1:]
boot = boot.split(",")
rows = [line.rstrip("\n").split("\t", 2) for line in open(source, encoding="utf-8", newline="\n")]

KafkaAdminClient(bootstrap_servers=boot).create_topics([NewTopic(name=topic, num_partitions=4, replication_factor=3)])
producer = KafkaProducer(bootstrap_servers=boot, acks="all", linger_ms=5)
sent = [producer.send(topic, key=k.encode(), value=v.encode(), headers=[("line", h.encode())]) for k, h, v in rows]
producer.flush()
for future in sent:
    future.get(timeout=30)

consumer = KafkaConsumer(topic, bootstrap_servers=boot, group_id=f"python-{topic}", auto_offset_reset="earliest", consumer_timeout_ms=30000)
with open(target, "w", encoding="utf-8", newline="\n") as out:
    for count, record in enumerate(consumer, 1):
        out.write(f"{record.key.decode()}\t{dict(record.headers)['line'].decode()}\t{record.value.decode()}\n")
        if count == len(rows):
            break
consumer.close()
