#!/usr/bin/env bash
# run.sh [NAME...] [--seconds N] [--out FOLDER]   builds the node and the drills and runs all of them, or those that are named, as root.
# Environment: CARGO_TARGET_DIR (the user's cache), MILENA_BIN (test this binary), DRILL_LOGS (a folder: the nodes' output).
set -euo pipefail
MILENA_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/rocksdb.sh
. "$MILENA_ROOT/deploy/rocksdb.sh"
cd "$MILENA_ROOT"
[ "$(id -u)" = 0 ] || { say "NOT RUN: only root can make network namespaces and mount disks"; exit 77; }
milena_build_tools
milena_packages python3=python3 ip=iproute2 nft=nftables mkfs.ext4=e2fsprogs nsenter=util-linux mount=mount
milena_rocksdb
[ -n "${MILENA_BIN:-}" ] || cargo build --locked --release --quiet -p milena-cli
exec cargo run --locked --release --quiet -p milena-drills -- "$@"
