#!/usr/bin/env bash
# setup.sh [java]   installs the foreign clients into $CLIENTS (the user's cache by default): kcat, Kafka's Java tools, kafka-python, kafkajs.
# With `java` only Kafka's Java tools, and a JDK, which runs the programs in ../format from their source.
# What is there already stays. Debian packages are installed when this runs as root; otherwise it names what is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export CLIENTS=${CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/milena/clients}; mkdir -p "$CLIENTS"
missing=()
command -v javac > /dev/null || missing+=(default-jdk-headless)
command -v mvn > /dev/null || missing+=(maven)
if [ "${1:-}" != java ]; then
  command -v kcat > /dev/null || missing+=(kcat)
  command -v node > /dev/null || missing+=(nodejs)
  command -v npm > /dev/null || missing+=(npm)
  python3 -c 'import ensurepip' 2> /dev/null || missing+=(python3-venv)
fi
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] || { echo "missing: ${missing[*]}; install them: sudo apt-get install ${missing[*]}" >&2; exit 1; }
  echo "installing ${missing[*]}" >&2
  apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi
[ -d "$CLIENTS/kafka-lib" ] || { echo "fetching Kafka's Java tools" >&2
  mvn -q -B -f "$here/../../bench/pom.xml" dependency:copy-dependencies -DoutputDirectory="$CLIENTS/kafka-lib.part" >&2 && mv "$CLIENTS/kafka-lib.part" "$CLIENTS/kafka-lib"; }
if [ "${1:-}" != java ]; then
  [ -x "$CLIENTS/venv/bin/python" ] || { echo "installing kafka-python and confluent-kafka" >&2
    python3 -m venv "$CLIENTS/venv" && "$CLIENTS/venv/bin/pip" -q install kafka-python==3.0.12 confluent-kafka==2.12.2 >&2; }
  [ -d "$CLIENTS/node/node_modules/kafkajs" ] || { echo "installing kafkajs" >&2
    mkdir -p "$CLIENTS/node" && (cd "$CLIENTS/node" && npm init -y > /dev/null 2>&1 && npm install --silent --no-fund --no-audit kafkajs@2.2.4 >&2); }
fi
