#!/usr/bin/env bash
# kafka-tools.sh [TEST...]   Kafka 4.3.1's own command line tools, and with them its Java clients, against BOOT (three or more brokers). Needs Java 17; Maven unless KAFKA_LIB names a folder of Kafka's jars.
S=kafka-tools; . "$(dirname "$0")/lib.sh"
LIMIT=${LIMIT:-180} # seconds per test
export BOOT KAFKA_LIB=${KAFKA_LIB:-$W/kafka-lib} LOG4J=$here/../../bench/log4j2.properties
jars || exit 2

# What the tests are made of: K CLASS ARGUMENT... runs a tool, has PATTERN reads the output of the one before it, no PATTERN likewise.
K() { local c=$1; shift; echo "+ $c $*"; out=$(java -Xmx256m -XX:TieredStopAtLevel=1 -cp "$KAFKA_LIB/*" "-Dlog4j2.configurationFile=$LOG4J" "$c" "$@" 2>&1) || { echo "$out"; return 1; }; echo "$out"; }
B() { local c=$1; shift; K "org.apache.kafka.tools.$c" --bootstrap-server "$BOOT" "$@"; }
G() { local c=$1; shift; K "org.apache.kafka.tools.consumer.group.$c" --bootstrap-server "$BOOT" "$@"; }
C() { K kafka.admin.ConfigCommand --bootstrap-server "$BOOT" "$@"; }
has() { grep -Eq -- "$1" <<< "$out" || { echo "lacks $1"; return 1; }; }
no() { ! grep -Eq -- "$1" <<< "$out" || { echo "has $1"; return 1; }; }
# soon has|no PATTERN COMMAND...: until the command's output is so, half a minute at most.
soon() { local end=$((SECONDS + 30)) how=$1 what=$2; shift 2; until "$@" && "$how" "$what"; do [ $SECONDS -lt $end ] || return 1; done; }
topic() { T=suite-$RANDOM$RANDOM; B TopicCommand --create --topic "$T" --partitions "${1:-3}" --replication-factor 3; }
fill() { B ProducerPerformance --topic "$T" --num-records "$1" --record-size 100 --throughput -1 --command-property acks=all "${@:2}"; has "^$1 records sent"; }
total() { B GetOffsetShell --topic "$T" --time "${2:--1}"; [ "$(awk -F: '/^suite-/ {s += $3} END {print s + 0}' <<< "$out")" = "$1" ]; }
consumed() { local n; n=$(sed -nE 's/.*"name":"records_consumed"[^[]*"count":([0-9]+).*/\1/p' <<< "$out" | awk '{s += $1} END {print s + 0}'); [ "$n" -ge "$1" ] || { echo "consumed $n of $1"; return 1; }; }
read_all() { K org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$BOOT" --topic "$T" --from-beginning --timeout-ms 15000 "${@:2}"; [ "$(grep -c '^[A-Z0-9]' <<< "$out")" -ge "$1" ]; has "Processed a total of $1 "; }

t_api-versions() { B BrokerApiVersionsCommand; has 'Produce\(0\)'; has 'Fetch\(1\)'; has 'ApiVersions\(18\)'; [ "$(grep -c 'id: ' <<< "$out")" -ge 3 ]; }
t_cluster() { K org.apache.kafka.tools.ClusterTool cluster-id --bootstrap-server "$BOOT"; has 'Cluster ID: '; K org.apache.kafka.tools.ClusterTool list-endpoints --bootstrap-server "$BOOT"; has '[0-9]+ +[^ ]+ +[0-9]+'; }
t_compatibility() { topic; B TopicCommand --delete --if-exists --topic newtopic; soon no '^newtopic$' B TopicCommand --list; B ClientCompatibilityTest --topic "$T" --num-cluster-nodes 3 --offsets-for-times-supported true --cluster-id-supported true --expect-record-too-large-exception false --create-topics-supported true --describe-acls-supported true --describe-configs-supported true --idempotent-producer-supported true; }
t_quorum() { K org.apache.kafka.tools.MetadataQuorumCommand --bootstrap-server "$BOOT" describe --status; has 'LeaderId: +[0-9]'; K org.apache.kafka.tools.MetadataQuorumCommand --bootstrap-server "$BOOT" describe --replication; has 'Leader'; }
t_features() { K org.apache.kafka.tools.FeatureCommand --bootstrap-server "$BOOT" describe; has 'metadata.version|group.version|transaction.version'; }
t_topics() { topic; B TopicCommand --describe --topic "$T"; has 'PartitionCount: 3'; has 'ReplicationFactor: 3'; B TopicCommand --alter --topic "$T" --partitions 5; B TopicCommand --describe --topic "$T"; has 'PartitionCount: 5'; B TopicCommand --delete --topic "$T"; soon no "^$T\$" B TopicCommand --list; }
t_topic-configs() { topic; C --entity-type topics --entity-name "$T" --alter --add-config retention.ms=777000; soon has 'retention.ms=777000' C --entity-type topics --entity-name "$T" --describe; C --entity-type topics --entity-name "$T" --alter --delete-config retention.ms; soon no 'retention.ms=777000' C --entity-type topics --entity-name "$T" --describe; }
t_broker-configs() { B BrokerApiVersionsCommand; local id; id=$(sed -nE 's/.*\(id: ([0-9]+) rack.*/\1/p' <<< "$out" | head -1); C --entity-type brokers --entity-name "$id" --describe --all; has 'log.retention|num.partitions'; }
t_quotas() { local u=c$RANDOM; C --entity-type clients --entity-name "$u" --alter --add-config producer_byte_rate=1234567; soon has 'producer_byte_rate=1234567' C --entity-type clients --entity-name "$u" --describe; C --entity-type clients --entity-name "$u" --alter --delete-config producer_byte_rate; soon no 1234567 C --entity-type clients --entity-name "$u" --describe; }
t_scram-users() { local u=u$RANDOM; C --entity-type users --entity-name "$u" --alter --add-config 'SCRAM-SHA-256=[iterations=4096,password=x]'; soon has 'SCRAM-SHA-256=iterations=4096' C --entity-type users --entity-name "$u" --describe; C --entity-type users --entity-name "$u" --alter --delete-config SCRAM-SHA-256; }
t_client-metrics() { local m=m$RANDOM; B ClientMetricsCommand --alter --name "$m" --metrics org.apache.kafka.producer. --interval 60000; soon has "^$m\$" B ClientMetricsCommand --list; B ClientMetricsCommand --describe --name "$m"; has 60000; B ClientMetricsCommand --delete --name "$m"; }
perf() { topic; fill 20000 --command-property "compression.type=$1"; total 20000; B ConsumerPerformance --topic "$T" --num-records 20000 --timeout 30000 --hide-header; has ', 20000, '; }
t_perf-none() { perf none; }; t_perf-gzip() { perf gzip; }; t_perf-snappy() { perf snappy; }; t_perf-lz4() { perf lz4; }; t_perf-zstd() { perf zstd; }
t_end-to-end() { topic 1; B EndToEndLatency --topic "$T" --num-records 50 --producer-acks all --record-size 100; has 'Avg latency'; }
verify() { topic; B VerifiableProducer --topic "$T" --max-messages 2000 --throughput -1 --acks -1; has '"acked":2000'; B "$1" --topic "$T" --group-id "$T" --max-messages 2000 "${@:2}"; has '"name":"shutdown_complete"'; consumed 2000; }
t_verifiable-classic() { verify VerifiableConsumer --group-protocol classic --reset-policy earliest; }
t_verifiable-848() { verify VerifiableConsumer --group-protocol consumer --reset-policy earliest; }
t_verifiable-share() { verify VerifiableShareConsumer --acknowledgement-mode sync --offset-reset-strategy earliest; }
t_transactions() { topic 1; local a=$T; fill 1000; topic 1; K org.apache.kafka.tools.TransactionalMessageCopier --broker-list "$BOOT" --input-topic "$a" --input-partition 0 --output-topic "$T" --max-messages 1000 --consumer-group "$a" --transaction-size 100 --transactional-id "$a" --enable-random-aborts --use-group-metadata; has '"remaining":0'; read_all 1000 --isolation-level read_committed; K org.apache.kafka.tools.TransactionsCommand --bootstrap-server "$BOOT" list; has "$a"; K org.apache.kafka.tools.TransactionsCommand --bootstrap-server "$BOOT" describe --transactional-id "$a"; has 'CompleteCommit|CompleteAbort'; K org.apache.kafka.tools.TransactionsCommand --bootstrap-server "$BOOT" describe-producers --topic "$T" --partition 0; has '[0-9]'; }
t_transactional-perf() { topic; B ProducerPerformance --topic "$T" --num-records 20000 --record-size 100 --throughput -1 --transactional-id "$T" --transaction-duration-ms 50; has '^20000 records sent'; read_all 20000 --isolation-level read_committed; }
t_offsets() { topic; fill 900; total 900; total 0 -2; B GetOffsetShell --topic "$T" --time -3; has "^$T:[0-9]+:[0-9]+"; B GetOffsetShell --topic "$T" --time 1000; }
t_delete-records() { topic 1; fill 100; printf '{"version": 1, "partitions": [{"topic": "%s", "partition": 0, "offset": 40}]}' "$T" > "$D/r.json"; B DeleteRecordsCommand --offset-json-file "$D/r.json"; has 'low_watermark: 40'; total 40 -2; total 100; }
t_groups() { topic; fill 300; read_all 300 --group "$T"; G ConsumerGroupCommand --list; has "^$T"; G ConsumerGroupCommand --describe --group "$T"; has "$T +$T +0 +([0-9]+) +\\1 +0"; G ConsumerGroupCommand --describe --state --group "$T"; has Empty; G ConsumerGroupCommand --group "$T" --reset-offsets --to-earliest --all-topics --execute; G ConsumerGroupCommand --describe --group "$T"; has "$T +$T +0 +0 "; B GroupsCommand --list; has "$T"; G ConsumerGroupCommand --delete-offsets --group "$T" --topic "$T"; has 'Successful'; G ConsumerGroupCommand --delete --group "$T"; has successful; }
t_share-groups() { topic; fill 300; B VerifiableShareConsumer --topic "$T" --group-id "$T" --max-messages 10 --acknowledgement-mode sync --offset-reset-strategy earliest; consumed 10; G ShareGroupCommand --list; has "$T"; G ShareGroupCommand --describe --group "$T"; has "$T"; G ShareGroupCommand --describe --state --group "$T"; has 'Empty|Stable'; }
t_log-dirs() { topic; fill 100; B LogDirsCommand --describe --topic-list "$T"; has "\"partition\":\"$T-0\""; }
t_leader-election() { topic; B LeaderElectionCommand --election-type preferred --topic "$T" --partition 0; }
t_reassignment() {
  topic 1; fill 500; B TopicCommand --describe --topic "$T"; local r; r=$(sed -nE 's/.*Replicas: ([0-9,]+).*/\1/p' <<< "$out" | tail -1 | tr , '\n' | tac | paste -sd,)
  printf '{"version": 1, "partitions": [{"topic": "%s", "partition": 0, "replicas": [%s]}]}' "$T" "$r" > "$D/p.json"
  K org.apache.kafka.tools.reassign.ReassignPartitionsCommand --bootstrap-server "$BOOT" --reassignment-json-file "$D/p.json" --execute; has 'Successfully started'
  soon has 'is completed' K org.apache.kafka.tools.reassign.ReassignPartitionsCommand --bootstrap-server "$BOOT" --reassignment-json-file "$D/p.json" --verify; B TopicCommand --describe --topic "$T"; has "Replicas: $r"; total 500
}

pick "$@"
export D=$W/kafka-tools; mkdir -p "$D"
for t in "${tests[@]}"; do one "$t" "$LIMIT" bash -euo pipefail -c "$(declare -f); t_$t"; done
finish
