#!/usr/bin/env bash
# make_answers.sh   asks a fresh Apache Kafka for kafka-4.3.1.tsv again. Needs Java and Maven; takes a minute.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); top=$(cd "$here/../../.." && pwd)
export CLIENTS=${CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/milena/clients}
"$top/tests/interop/clients/setup.sh" java
AK=$(mktemp -d "${TMPDIR:-/tmp}/milena-answers.XXXXXX"); export AK AK_HEAP=512m
ln -s "$CLIENTS/kafka-lib" "$AK/lib"
trap '"$top/tests/bench/ak.sh" kill 1 2> /dev/null || true; rm -rf "$AK"' EXIT
boot=$("$top/tests/bench/ak.sh" up 1)
python3 "$here/probe.py" "$boot" > "$AK/answers"
mv "$AK/answers" "$here/kafka-4.3.1.tsv"
