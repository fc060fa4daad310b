#!/usr/bin/env bash
# run.sh [SUITE...]   runs foreign client suites against throw-away clusters of three nodes and writes docs/interop.md.
# SUITE: rskafka rust-rdkafka kgo librdkafka kafka-python kafka-tools (all of them by default: about an hour and a half).
# A suite runs on the quick start's settings; tests that need others (second column of SUITE.list) on clusters that have them.
# MILENA_BIN: the binary to test. W: the folder for the suites' downloads and builds. QUICK, TRIES, LIMIT: see suites/README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); top=$(cd "$here/../.." && pwd)
export W=${W:-${XDG_CACHE_HOME:-$HOME/.cache}/milena/suites} TRIES=${TRIES:-2}
export WITH="delay ${WITH:-}" # every cluster below has it
export KAFKA_LIB=${KAFKA_LIB:-$W/kafka-lib}
[ $# -gt 0 ] || set -- rskafka rust-rdkafka kgo kafka-python kafka-tools librdkafka
work=$(mktemp -d "${TMPDIR:-/tmp}/milena-interop.XXXXXX"); results=${RESULTS:-$W/results}; mkdir -p "$results"
quickstart() { MILENA_DATA=$work "$top/deploy/quickstart.sh" "$@"; }
trap 'quickstart down > /dev/null 2>&1 || true; rm -rf "$work"' EXIT
bad=0

# The tests of a suite that need at least one of these settings, and no other.
needing() { # SUITE NEED...
  local suite=$1; shift
  awk -F'\t' -v has=" $* " '$2 != "" { n = split($2, need, " "); for (i = 1; i <= n; i++) if (!index(has, " " need[i] " ")) next; print $1 }' "$here/suites/$suite.list"
}

# Runs a suite, or some of its tests, on a fresh cluster with more settings; the rows are added to the suite's results.
cluster() { # SUITE SETTINGS TEST...
  local suite=$1 extra=$2; shift 2
  quickstart clean > /dev/null 2>&1 || true
  BOOT=$(MILENA_EXTRA=$extra quickstart up 3 | tail -n 1); export BOOT
  "$here/suites/$suite.sh" "$@" >> "$results/$suite.tsv" || bad=1
  tail -n 1 "$results/$suite.tsv"
}

for suite in "$@"; do
  : > "$results/$suite.tsv"
  cluster "$suite" ""
  mapfile -t tests < <(needing "$suite" session three)
  [ ${#tests[@]} = 0 ] || cluster "$suite" $'group.min.session.timeout.ms=3000\nnum.partitions=3' "${tests[@]}"
  mapfile -t tests < <(needing "$suite" noauto)
  [ ${#tests[@]} = 0 ] || cluster "$suite" auto.create.topics.enable=false "${tests[@]}"
done
python3 "$here/report.py" "$results" > "$top/docs/interop.md"
exit $bad
