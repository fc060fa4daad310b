#!/usr/bin/env bash
# make_fixture.sh   writes crates/log/tests/fixtures/kafka-4.3.1 anew: log directories of a real Kafka, and what its own clients read from them.
# killed.tar.gz is the directory as kill -9 left it, clean.tar.gz as a clean stop did after Kafka's own recovery of it.
# Needs a JDK (17 or later) and Maven; takes a minute. The records are the same each time, topic ids and log append times are not.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); top=$(cd "$here/../../.." && pwd)
export CLIENTS=${CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/milena/clients}
"$top/tests/interop/clients/setup.sh" java
out=$top/crates/log/tests/fixtures/kafka-4.3.1; mkdir -p "$out"
AK=$(mktemp -d "${TMPDIR:-/tmp}/milena-fixture.XXXXXX"); export AK AK_HEAP=512m
ln -s "$CLIENTS/kafka-lib" "$AK/lib"
export AK_EXTRA="log.retention.check.interval.ms=500
log.initial.task.delay.ms=500
log.cleaner.backoff.ms=500
log.flush.offset.checkpoint.interval.ms=2000
log.flush.start.offset.checkpoint.interval.ms=1000
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1"
ak() { "$top/tests/bench/ak.sh" "$@"; }
trap 'ak kill 1 2> /dev/null || true; rm -rf "$AK"' EXIT

fill() { # one|two|show
  java -Xmx256m -cp "$CLIENTS/kafka-lib/*" "-Dlog4j2.configurationFile=$top/tests/bench/log4j2.properties" "$here/Fill.java" "$boot" "$1"
}
# Ends the broker with a signal and waits until it is gone.
stop() { # SIGNAL
  local pid i; pid=$(cat "$AK/n1.pid"); kill "-$1" "$pid"
  for i in $(seq 300); do kill -0 "$pid" 2> /dev/null || return 0; sleep .1; done
  return 1
}
again() {
  local i; ak start 1
  for i in $(seq 300); do grep -q 'Kafka Server started' "$AK/n1.log" && return 0; sleep .1; done
  return 1
}
pack() { # NAME
  tar -C "$AK/d1" --sort=name --owner=0 --group=0 --numeric-owner -cf - --exclude=__* --exclude=bootstrap.checkpoint --exclude=.lock . | gzip -9n > "$out/$1.tar.gz"
}

boot=$(ak up 1)
fill one
stop TERM; again
fill two
fill show > "$AK/killed.tsv"
stop KILL
pack killed
again
fill show > "$AK/clean.tsv"
stop TERM
pack clean
# Recovery changes nothing that clients see, but Kafka forgets producers whose last record is older than a day when it starts.
diff <(grep -v '^producer' "$AK/killed.tsv") <(grep -v '^producer' "$AK/clean.tsv")
{ grep -v '^producer' "$AK/killed.tsv"; for how in killed clean; do sed -n "s/^producer/producer-$how/p" "$AK/$how.tsv"; done; } > "$out/expected.tsv"
du -ab "$out"
