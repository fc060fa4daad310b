import java.io.File;
import java.nio.file.Files;
import java.util.*;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.message.DescribeProducersResponseData;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.metadata.properties.MetaProperties;
import org.apache.kafka.metadata.properties.MetaPropertiesEnsemble;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.checkpoint.CleanShutdownFileHandler;
import org.apache.kafka.storage.internals.checkpoint.OffsetCheckpointFile;
import org.apache.kafka.storage.internals.checkpoint.PartitionMetadataFile;
import org.apache.kafka.storage.internals.log.*;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;
import org.apache.kafka.tools.DumpLogSegments;

/**
 * Check.java LOGDIR...   has Kafka's own code read log directories that somebody else wrote, and says what it found, a line each:
 * `meta.properties`, the checkpoints and the clean-shutdown file as Kafka's readers parse them; every partition as
 * Kafka's broker opens it at its start (recovering it when the directory was not shut down cleanly): log start and end, bytes that it cut off,
 * epochs, producers, a checksum over all records; and, before that, what DumpLogSegments complains about. The directories are changed.
 */
public class Check {
    static void say(Object... fields) {
        StringJoiner line = new StringJoiner("\t");
        for (Object field : fields) line.add(String.valueOf(field));
        System.out.println(line);
    }

    public static void main(String[] dirs) throws Exception {
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        for (String dir : dirs) {
            say("dir", dir);
            dump(new File(dir));
            open(new File(dir), scheduler);
        }
        System.exit(0);
    }

    static List<File> partitions(File dir) {
        List<File> found = new ArrayList<>();
        for (File file : dir.listFiles()) {
            if (file.isDirectory() && file.getName().matches("[^.]*-[0-9]+") && !file.getName().startsWith("__cluster_metadata")) found.add(file);
        }
        Collections.sort(found);
        return found;
    }

    /** DumpLogSegments in each of its modes; its complaints are in what it prints. */
    static void dump(File dir) throws Exception {
        List<String> logs = new ArrayList<>(), indexes = new ArrayList<>(), others = new ArrayList<>();
        for (File partition : partitions(dir)) {
            for (File file : new TreeSet<>(List.of(partition.listFiles()))) {
                String name = file.getName();
                if (name.endsWith(".log")) logs.add(file.getPath());
                else if (name.endsWith("index") && !name.endsWith("txnindex")) indexes.add(file.getPath());
                else if (name.endsWith(".snapshot") || name.endsWith(".txnindex")) others.add(file.getPath());
            }
        }
        say("dumped", logs.size(), indexes.size(), others.size());
        run(logs, "--deep-iteration", "--print-data-log");
        run(indexes);
        run(indexes, "--verify-index-only");
        run(indexes, "--index-sanity-check");
        run(others);
    }

    static void run(List<String> files, String... options) throws Exception {
        if (files.isEmpty()) return;
        List<String> args = new ArrayList<>(List.of("--files", String.join(",", files)));
        args.addAll(List.of(options));
        java.io.PrintStream out = System.out, err = System.err;
        java.io.ByteArrayOutputStream said = new java.io.ByteArrayOutputStream(), complained = new java.io.ByteArrayOutputStream();
        System.setOut(new java.io.PrintStream(said));
        System.setErr(new java.io.PrintStream(complained));
        String failure = null;
        try {
            DumpLogSegments.main(args.toArray(new String[0]));
        } catch (Throwable error) {
            failure = error.toString();
        }
        System.out.flush();
        System.setOut(out);
        System.setErr(err);
        String file = "", last = "";
        for (String line : said.toString().split("\n")) {
            if (line.startsWith("Dumping ")) file = line.substring(8);
            boolean bad = line.contains("isvalid: false") || line.contains("isvalid: null") || line.contains("Could not") || line.contains("not valid")
                || line.contains("invalid bytes") || line.contains("Exception");
            if (bad) say("complaint", file, line);
            last = line;
        }
        String about = "";
        for (String line : complained.toString().split("\n")) {
            if (line.isBlank()) continue;
            if (line.startsWith("Non-consecutive offsets in ") || line.startsWith("Found timestamp mismatch in :")) {
                File named = new File(line.substring(line.indexOf(File.separator)));
                about = named.getParentFile().getName() + "/" + named.getName();
                continue;
            }
            // The tool says of every segment but a log's first one that its first offset does not follow -1.
            if (line.startsWith("  -1 is followed by ") && about.endsWith(String.format("/%020d.log", Long.parseLong(line.substring(20))))) continue;
            say("complaint", line, line.startsWith("  ") ? about : "");
        }
        if (failure != null) say("complaint", last, failure);
        say("ran", String.join(" ", options), said.toString().lines().count());
    }

    static void open(File dir, KafkaScheduler scheduler) throws Exception {
        MetaProperties meta = new MetaPropertiesEnsemble.Loader().addLogDirs(List.of(dir.getPath())).load().logDirProps().get(dir.getPath());
        say("meta", "V" + meta.version().number(), meta.clusterId().orElse("-"), meta.nodeId().getAsInt(), meta.directoryId().get());
        CleanShutdownFileHandler handler = new CleanShutdownFileHandler(dir.getPath());
        boolean clean = handler.exists();
        say("clean", clean, clean ? handler.read().getAsLong() : "-");
        Map<String, Map<TopicPartition, Long>> checkpoints = new TreeMap<>();
        for (String name : new String[] {"recovery-point", "replication", "log-start", "cleaner"}) {
            File file = new File(dir, name + "-offset-checkpoint");
            checkpoints.put(name, file.exists() ? new OffsetCheckpointFile(file, null).read() : Map.of());
        }
        LogConfig config = new LogConfig(Map.of("retention.ms", "-1", "internal.segment.bytes", "1073741824"));
        for (File file : partitions(dir)) {
            TopicPartition partition = UnifiedLog.parseTopicPartitionName(file);
            Uuid id = new PartitionMetadataFile(new File(file, "partition.metadata"), null).read().topicId();
            long before = bytes(file);
            long start = checkpoints.get("log-start").getOrDefault(partition, 0L), recovery = checkpoints.get("recovery-point").getOrDefault(partition, 0L);
            UnifiedLog log = UnifiedLog.create(file, config, start, recovery, scheduler, new BrokerTopicStats(), Time.SYSTEM, 900_000,
                new ProducerStateManagerConfig(Integer.MAX_VALUE, false), 600_000, new LogDirFailureChannel(1), clean, Optional.of(id));
            String name = file.getName();
            CRC32C crc = new CRC32C();
            long records = 0;
            for (LogSegment segment : log.logSegments()) {
                for (RecordBatch batch : segment.log().batches()) {
                    batch.ensureValid();
                    for (Record record : batch) {
                        if (record.offset() < log.logStartOffset()) continue;
                        records++;
                        crc.update((record.offset() + " " + record.timestamp() + " " + record.keySize() + " " + record.valueSize()).getBytes());
                        if (record.hasKey()) crc.update(record.key());
                        if (record.hasValue()) crc.update(record.value());
                    }
                }
            }
            say("log", name, id, log.logStartOffset(), log.logEndOffset(), log.numberOfSegments(), records, crc.getValue());
            say("cut", before - bytes(file));
            log.leaderEpochCache().epochEntries().forEach(entry -> say("epoch", name, entry.epoch(), entry.startOffset()));
            List<DescribeProducersResponseData.ProducerState> producers = new ArrayList<>(log.activeProducers());
            producers.sort(Comparator.comparing(DescribeProducersResponseData.ProducerState::producerId));
            for (DescribeProducersResponseData.ProducerState p : producers) {
                say("producer", name, p.producerId(), p.producerEpoch(), p.lastSequence(), p.lastTimestamp(), p.coordinatorEpoch(), p.currentTxnStartOffset());
            }
            // Replicated everywhere: what is undecided is then a matter of the records alone.
            log.producerStateManager().onHighWatermarkUpdated(log.logEndOffset());
            say("unstable", name, log.producerStateManager().firstUnstableOffset().map(offset -> offset.messageOffset).orElse(-1L));
        }
    }

    static long bytes(File dir) throws Exception {
        try (Stream<java.nio.file.Path> files = Files.list(dir.toPath())) {
            return files.filter(path -> path.toString().endsWith(".log")).mapToLong(path -> path.toFile().length()).sum();
        }
    }
}
