#!/usr/bin/env bash
# run.sh [SUITE...]   runs foreign client suites against a throw-away cluster of three nodes and writes docs/interop.md.
# SUITE: rskafka rust-rdkafka kgo librdkafka kafka-python kafka-tools (all of them by default).
# MILENA_BIN: the binary to test. W: the folder for the suites' downloads and builds. QUICK, TRIES, LIMIT, WITH: see suites/README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); top=$(cd "$here/../.." && pwd)
export W=${W:-${XDG_CACHE_HOME:-$HOME/.cache}/milena/suites} TRIES=${TRIES:-2}
[ $# -gt 0 ] || set -- rskafka rust-rdkafka kgo kafka-python kafka-tools librdkafka
work=$(mktemp -d "${TMPDIR:-/tmp}/milena-interop.XXXXXX"); results=${RESULTS:-$W/results}; mkdir -p "$results"
trap 'MILENA_DATA=$work "$top/deploy/quickstart.sh" down > /dev/null 2>&1 || true; rm -rf "$work"' EXIT
bad=0
for suite in "$@"; do
  MILENA_DATA=$work "$top/deploy/quickstart.sh" down > /dev/null 2>&1 || true; rm -rf "${work:?}"/*
  BOOT=$(MILENA_DATA=$work "$top/deploy/quickstart.sh" up 3 | tail -n 1); export BOOT
  "$here/suites/$suite.sh" > "$results/$suite.tsv" || bad=1
  tail -n 1 "$results/$suite.tsv"
done
python3 "$here/report.py" "$results" > "$top/docs/interop.md"
exit $bad
