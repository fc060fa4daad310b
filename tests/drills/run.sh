#!/usr/bin/env bash
# run.sh [NAME...] [control] [--seconds N] [--out FOLDER]   builds the node and the drills and runs all of them, or those that are named, as root.
# Without names, and with the name control, the node is built a second time, with rules that can be switched off, for the control run.
# Environment: CARGO_TARGET_DIR (the user's cache), MILENA_BIN (test this binary), MILENA_MUTANTS_BIN (and that one in the control run), DRILL_LOGS
# (a folder: the nodes' output).
set -euo pipefail
MILENA_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/rocksdb.sh
. "$MILENA_ROOT/deploy/rocksdb.sh"
cd "$MILENA_ROOT"
[ "$(id -u)" = 0 ] || { say "NOT RUN: only root can make network namespaces and mount disks"; exit 77; }
milena_build_tools
milena_packages python3=python3 ip=iproute2 nft=nftables mkfs.ext4=e2fsprogs nsenter=util-linux fsfreeze=util-linux mount=mount strace=strace
milena_rocksdb
named=no control=no
for word in "$@"; do
  case $word in
    control) control=yes ;;
    [Dd][0-9]*) named=yes ;;
  esac
done
if [ $control$named = nono ]; then control=yes; fi
if [ $control = yes ] && [ -z "${MILENA_MUTANTS_BIN:-}" ]; then
  say "building the node of the control run"
  # In a folder of its own: no binary with this feature may ever lie where the others do.
  cargo build --locked --release --quiet -p milena-cli --features mutants --target-dir "$CARGO_TARGET_DIR/mutants"
  export MILENA_MUTANTS_BIN=$CARGO_TARGET_DIR/mutants/release/milena
fi
[ -n "${MILENA_BIN:-}" ] || cargo build --locked --release --quiet -p milena-cli
exec cargo run --locked --release --quiet -p milena-drills -- "$@"
