#!/usr/bin/env bash
# run.sh [FIGURE...]   measures Milena, for both durability contracts, and Apache Kafka 4.3.1 with the same ruler, one after the other.
# Results: $OUT/{flushed,replicated,kafka}.json (OUT: ./data/bench by default). ONLY="flushed kafka" leaves the others out.
# Needs Java and Maven for Kafka; fetches and compiles librdkafka's rdkafka_performance into the user's cache.
set -euo pipefail
bench=$(cd "$(dirname "$0")" && pwd); top=$(cd "$bench/../.." && pwd) # lib.sh has a "here" of its own
cache=${XDG_CACHE_HOME:-$HOME/.cache}/milena; OUT=${OUT:-$top/data/bench}; mkdir -p "$OUT" "$cache"
. "$top/tests/interop/clients/setup.sh"
if [ ! -x "$cache/rdkafka_performance" ]; then
  S=bench W=$cache/suites; . "$top/tests/interop/suites/lib.sh"; set -e
  crate rdkafka-sys 4.10.0
  src=$W/rdkafka-sys-4.10.0/librdkafka
  (cd "$src" && chmod +x configure lds-gen.py && ./configure --disable-gssapi --disable-ssl --disable-curl && make -j2 libs) > "$cache/librdkafka-build.log" 2>&1
  gcc -O2 -I"$src" -I"$src/src" -o "$cache/rdkafka_performance" "$src/examples/rdkafka_performance.c" "$src/src/librdkafka.a" -lz -lm -lpthread -ldl -lrt
fi
export PERF=$cache/rdkafka_performance
for what in ${ONLY:-flushed replicated kafka}; do
  work=$(mktemp -d "${TMPDIR:-/tmp}/milena-bench.XXXXXX")
  if [ "$what" = kafka ]; then
    export AK=$work; ln -s "$CLIENTS/kafka-lib" "$work/lib"; adapter=$bench/ak.sh
    export BOOT=127.0.0.1:11092,127.0.0.1:12092,127.0.0.1:13092 TOPIC=
  else
    export MILENA_DATA=$work; adapter=$top/deploy/quickstart.sh
    export BOOT=127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094 TOPIC="ack.durability=$what"
  fi
  "$adapter" up 3 > /dev/null
  echo "== $what"
  "$CLIENTS/venv/bin/python" "$bench/ruler.py" "$adapter" "$OUT/$what.json" "$@" || true
  "$adapter" down; rm -rf "$work"
done
