#!/usr/bin/env bash
# check.sh LOGDIR...   has Kafka's own code read log directories, which it changes; see Check.java.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
CLIENTS=${CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/milena/clients}
java -Xmx512m -XX:TieredStopAtLevel=1 -cp "$CLIENTS/kafka-lib/*" "-Dlog4j2.configurationFile=$here/../../bench/log4j2.properties" "$here/Check.java" "$@"
