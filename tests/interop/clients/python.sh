# python.sh BOOTSTRAP TOPIC INPUT OUTPUT: kafka-python.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
exec "$CLIENTS/venv/bin/python" "$here/kafka_python.py" "$@"
