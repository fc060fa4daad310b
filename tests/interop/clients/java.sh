# java.sh BOOTSTRAP TOPIC INPUT OUTPUT: Kafka's own topic command, console producer and console consumer.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
boot=$1 topic=$2 in=$3 out=$4
J() { java -Xmx256m -cp "$CLIENTS/kafka-lib/*" "-Dlog4j2.configurationFile=$here/../../bench/log4j2.properties" "$@"; }
J org.apache.kafka.tools.TopicCommand --bootstrap-server "$boot" --create --topic "$topic" --partitions 4 --replication-factor 3 >&2
awk -F'\t' 'BEGIN {OFS = "\t"} {print "line:" $2, $1, $3}' "$in" |
  J org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$boot" --topic "$topic" --command-property acks=all \
    --reader-property parse.key=true --reader-property parse.headers=true >&2
J org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$boot" --topic "$topic" --from-beginning --group "java-$topic" \
  --max-messages "$(wc -l < "$in")" --timeout-ms 60000 --formatter-property print.key=true --formatter-property print.headers=true |
  awk -F'\t' 'BEGIN {OFS = "\t"} {sub(/^line:/, "", $1); print $2, $1, $3}' > "$out"
