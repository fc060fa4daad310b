import java.util.*;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

/**
 * Fill.java BOOTSTRAP one|two|show   fills a Kafka broker with logs of every kind, in two parts (a restart between them makes a second
 * leader epoch), and shows everything that Kafka's own clients read from them, a line each.
 */
public class Fill {
    static final long T0 = 1_700_000_000_000L;
    static final String[] TOPICS = {"codecs", "appended", "txn", "compacted", "trimmed"};
    static String bootstrap;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
            switch (args[1]) {
                case "one" -> { create(admin); codecs(0); appended(); txn(0); compacted(admin); trimmed(admin); }
                case "two" -> { codecs(1); txn(1); open(); }
                default -> show(admin);
            }
        }
        System.exit(0);
    }

    static void create(Admin admin) throws Exception {
        Map<String, Map<String, String>> own = Map.of(
            "codecs", Map.of("internal.segment.bytes", "6000"),
            "appended", Map.of("internal.segment.bytes", "6000", "message.timestamp.type", "LogAppendTime"),
            "txn", Map.of("internal.segment.bytes", "3000"),
            "compacted", Map.of("internal.segment.bytes", "2000", "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01"),
            "trimmed", Map.of("internal.segment.bytes", "2000"));
        List<NewTopic> topics = new ArrayList<>();
        for (String name : TOPICS) {
            Map<String, String> config = new HashMap<>(own.get(name));
            config.put("index.interval.bytes", "256");
            config.put("segment.index.bytes", "2048");
            config.put("retention.ms", "-1");
            config.put("file.delete.delay.ms", "0");
            topics.add(new NewTopic(name, 1, (short) 1).configs(config));
        }
        admin.createTopics(topics).all().get();
    }

    static KafkaProducer<byte[], byte[]> producer(String codec, String transactionalId) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "compression.type", codec, "linger.ms", "1000", "acks", "all"));
        if (transactionalId != null) {
            config.put("transactional.id", transactionalId);
            config.put("transaction.timeout.ms", "900000");
        }
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static ProducerRecord<byte[], byte[]> record(String topic, int i, long time) {
        byte[] key = i % 4 == 3 && !topic.equals("compacted") ? null : ("key " + i).getBytes();
        byte[] value = i % 7 == 6 ? null : (topic + " value " + i + " " + "lorem ipsum ".repeat(i % 5)).getBytes();
        List<Header> headers = new ArrayList<>();
        for (int h = 0; h < i % 3; h++) headers.add(new RecordHeader("header", i % 2 == 0 ? null : new byte[] {(byte) h, (byte) i}));
        return new ProducerRecord<>(topic, 0, time, key, value, headers);
    }

    static void codecs(int part) {
        int codec = 0;
        for (String name : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
            try (KafkaProducer<byte[], byte[]> producer = producer(name, null)) {
                for (int i = 0; i < 40; i++) {
                    // Times grow, but neither in every batch nor from batch to batch.
                    long time = T0 + part * 1_000_000L + codec * 100_000L + i * 1000L - (i % 6) * 2500L;
                    producer.send(record("codecs", i, time));
                    if (i % 5 == 4) producer.flush();
                }
            }
            codec++;
        }
    }

    static void appended() {
        try (KafkaProducer<byte[], byte[]> producer = producer("lz4", null)) {
            for (int i = 0; i < 60; i++) {
                producer.send(record("appended", i, T0 + i));
                if (i % 6 == 5) producer.flush();
            }
        }
    }

    static void txn(int part) {
        try (KafkaProducer<byte[], byte[]> a = producer("none", "a"); KafkaProducer<byte[], byte[]> b = producer("zstd", "b")) {
            a.initTransactions();
            b.initTransactions();
            for (int round = 0; round < 8; round++) {
                long time = T0 + part * 1_000_000L + round * 1000L;
                a.beginTransaction();
                for (int i = 0; i < 3; i++) a.send(record("txn", 10 * round + i, time + i));
                a.flush();
                b.beginTransaction();
                for (int i = 0; i < 4; i++) b.send(record("txn", 10 * round + i, time + 10 + i));
                b.flush();
                a.send(record("txn", 10 * round + 5, time + 20));
                a.flush();
                if (round % 2 == 0) a.commitTransaction(); else a.abortTransaction();
                if (round % 3 == 0) b.abortTransaction(); else b.commitTransaction();
            }
        }
    }

    /** A transaction that nobody ends. */
    static void open() {
        KafkaProducer<byte[], byte[]> c = producer("none", "c");
        c.initTransactions();
        c.beginTransaction();
        c.send(record("txn", 100, T0 + 5_000_000L));
        c.flush();
        try (KafkaProducer<byte[], byte[]> plain = producer("none", null)) {
            plain.send(record("txn", 101, T0 + 5_000_001L));
        }
        // Not closed: that would abort it.
    }

    static void compacted(Admin admin) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = producer("gzip", null)) {
            for (int i = 0; i < 200; i++) {
                byte[] key = ("key " + i * 7 % 20).getBytes();
                byte[] value = i % 11 == 10 ? null : ("value " + i).getBytes();
                producer.send(new ProducerRecord<>("compacted", 0, T0 + i * 100L, key, value));
                if (i % 4 == 3) producer.flush();
            }
        }
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (read("compacted", "read_uncommitted").size() > 80) {
            if (System.nanoTime() > deadline) throw new IllegalStateException("nothing is compacted");
            Thread.sleep(500);
        }
    }

    static void trimmed(Admin admin) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = producer("none", null)) {
            for (int i = 0; i < 80; i++) {
                producer.send(record("trimmed", i, T0 + i));
                if (i % 8 == 7) producer.flush();
            }
        }
        admin.deleteRecords(Map.of(new TopicPartition("trimmed", 0), RecordsToDelete.beforeOffset(43))).all().get();
    }

    static List<ConsumerRecord<byte[], byte[]>> read(String topic, String isolation) {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "isolation.level", isolation);
        List<ConsumerRecord<byte[], byte[]>> found = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            TopicPartition partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            while (consumer.position(partition) < end) consumer.poll(java.time.Duration.ofMillis(200)).forEach(found::add);
        }
        return found;
    }

    static String hex(byte[] bytes) {
        return bytes == null ? "-" : "x" + HexFormat.of().formatHex(bytes);
    }

    static void say(Object... fields) {
        StringJoiner line = new StringJoiner("\t");
        for (Object field : fields) line.add(String.valueOf(field));
        System.out.println(line);
    }

    static ListOffsetsResult.ListOffsetsResultInfo offset(Admin admin, String topic, OffsetSpec spec, IsolationLevel isolation) throws Exception {
        TopicPartition partition = new TopicPartition(topic, 0);
        return admin.listOffsets(Map.of(partition, spec), new ListOffsetsOptions(isolation)).partitionResult(partition).get();
    }

    static void show(Admin admin) throws Exception {
        for (String topic : TOPICS) {
            IsolationLevel all = IsolationLevel.READ_UNCOMMITTED;
            say("bounds", topic, offset(admin, topic, OffsetSpec.earliest(), all).offset(), offset(admin, topic, OffsetSpec.latest(), all).offset(),
                offset(admin, topic, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED).offset());
            ListOffsetsResult.ListOffsetsResultInfo newest = offset(admin, topic, OffsetSpec.maxTimestamp(), all);
            say("newest", topic, newest.offset(), newest.timestamp());
            TreeSet<Long> times = new TreeSet<>();
            for (ConsumerRecord<byte[], byte[]> record : read(topic, "read_uncommitted")) {
                StringJoiner headers = new StringJoiner(",");
                for (Header header : record.headers()) headers.add(header.key() + "=" + hex(header.value()));
                say("record", topic, record.offset(), record.timestamp(), record.timestampType(), record.leaderEpoch().get(), hex(record.key()),
                    hex(record.value()), headers);
                times.add(record.timestamp());
            }
            StringJoiner committed = new StringJoiner(",");
            for (ConsumerRecord<byte[], byte[]> record : read(topic, "read_committed")) committed.add("" + record.offset());
            say("committed", topic, committed);
            for (long time : times) {
                for (long wanted : new long[] {time, time + 1}) {
                    ListOffsetsResult.ListOffsetsResultInfo found = offset(admin, topic, OffsetSpec.forTimestamp(wanted), all);
                    say("time", topic, wanted, found.offset(), found.timestamp());
                }
            }
            TopicPartition partition = new TopicPartition(topic, 0);
            List<ProducerState> producers = new ArrayList<>(admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers());
            producers.sort(Comparator.comparing(ProducerState::producerId));
            for (ProducerState p : producers) {
                say("producer", topic, p.producerId(), p.producerEpoch(), p.lastSequence(), p.lastTimestamp(), p.coordinatorEpoch().orElse(-1),
                    p.currentTransactionStartOffset().orElse(-1));
            }
        }
    }
}
