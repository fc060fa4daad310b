# kafkajs.sh BOOTSTRAP TOPIC INPUT OUTPUT
set -euo pipefail
. "$(dirname "$0")/setup.sh"
NODE_PATH=$CLIENTS/node/node_modules KAFKAJS_NO_PARTITIONER_WARNING=1 exec node "$here/kafkajs.js" "$@"
