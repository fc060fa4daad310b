#!/usr/bin/env bash
# run.sh [STEP...]   every check and test of the repository; steps: tools format pure lint docs sim mutants build unit deploy cluster drills interop suites
# Without steps all run, in this order, and the first that fails ends the run.
# Environment: CARGO_TARGET_DIR and MILENA_CACHE (the user's cache), MILENA_TEST_DATA (a folder with lines/*.log to produce; without it the
# tests make their own lines), MILENA_BIN (test this binary instead of building one).
#
# Everything that links RocksDB is built in one profile, release; the pure crates and log are tested in dev, where invariants are asserted.
set -euo pipefail
MILENA_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/rocksdb.sh
. "$MILENA_ROOT/deploy/rocksdb.sh"
cd "$MILENA_ROOT"

PURE=(milena-types milena-metrics milena-record milena-metadata milena-replication milena-coordinator milena-wire milena-log milena-tidy milena-sim)
PROCESSES=(milena-cluster-tests milena-interop-tests milena-deploy-tests)
# Steps that could not be run here, which is not to pass.
NOT_RUN=()

# The members of the workspace that are in neither list: they link RocksDB, or what links it.
linked() {
  local manifest name
  for manifest in crates/*/Cargo.toml; do
    name=$(sed -n 's/^name = "\(.*\)"$/\1/p' "$manifest" | head -n 1)
    [[ " ${PURE[*]} " == *" $name "* ]] || echo "$name"
  done
}
each() { local p; for p in "$@"; do printf -- '-p\n%s\n' "$p"; done; }

step_tools() { milena_build_tools; milena_packages python3=python3; milena_rocksdb; }
step_format() { cargo fmt --all --check; }
step_pure() { mapfile -t p < <(each "${PURE[@]}"); cargo test --locked --quiet "${p[@]}"; }
step_lint() { cargo clippy --locked --release --workspace --all-targets --quiet -- -D warnings; }
step_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --release --workspace --no-deps --quiet; }
# A whole cluster 10,000 times in a deterministic simulator, in a profile that is fast and asserts: fails when an invariant did not hold,
# when fewer leaderships moved, or when something of what a run can meet was met by none. Minutes; a failing seed prints its replay line.
step_sim() {
  cargo run --locked --profile sim --quiet -p milena-sim -- run --seeds 1..10001 --jobs 2 --failovers 50000 --coverage
}
# Fifteen rules of replication switched off one at a time: seeds of the simulator, or its model, have to notice each, and nothing while
# all hold. In a folder of its own, so that no other step meets what was built with the feature.
step_mutants() {
  local with=(--locked --profile sim --quiet -p milena-sim --features mutants --target-dir "$CARGO_TARGET_DIR/mutants")
  cargo clippy "${with[@]}" --all-targets -- -D warnings
  cargo run "${with[@]}" -- mutants --jobs 2
}
step_build() {
  [ -n "${MILENA_BIN:-}" ] && return 0
  cargo build --locked --release --quiet -p milena-cli
  export MILENA_BIN=$CARGO_TARGET_DIR/release/milena
}
step_unit() { mapfile -t p < <(each $(linked)); cargo test --locked --release --quiet "${p[@]}"; }
# Processes on fixed or random loopback ports: one test binary, and in it one test, at a time.
processes() { cargo test --locked --release --quiet -p "$1" -- --test-threads=1 --nocapture; }
step_deploy() { step_build; processes "${PROCESSES[2]}"; }
step_cluster() { step_build; processes "${PROCESSES[0]}"; }
# Three of the drills (`just drills`: all of them). Namespaces, mounts and cuts need root; without it, or where even root may not, the
# step is told as not run. The control run, which has a rule switched off, needs a second build of the node: `just drills` has it.
step_drills() {
  cargo test --locked --release --quiet -p milena-drills
  local status=0
  tests/drills/run.sh D1 D3 D7 --seconds 20 --out "$CARGO_TARGET_DIR/drill-reports" || status=$?
  if [ $status = 77 ]; then NOT_RUN+=(drills); return 0; fi
  return $status
}
step_interop() { step_build; tests/interop/clients/setup.sh; processes "${PROCESSES[1]}"; }
# The foreign suite that takes about a minute; `just suites` runs them all.
step_suites() {
  step_build
  local work status=0; work=$(mktemp -d "${TMPDIR:-/tmp}/milena-suites.XXXXXX")
  export MILENA_DATA=$work MILENA_PORT=21092
  BOOT=$(deploy/quickstart.sh up 3 | tail -n 1) W=$MILENA_CACHE/suites TRIES=2 tests/interop/suites/rskafka.sh || status=$?
  deploy/quickstart.sh clean || true
  rm -rf "$work"; unset MILENA_DATA MILENA_PORT
  return $status
}

[ $# -gt 0 ] || set -- tools format pure lint docs sim mutants build unit deploy cluster drills interop suites
case " $* " in *" tools "*) ;; *) step_tools ;; esac
for step in "$@"; do
  declare -F "step_$step" > /dev/null || { sed -n 2,3p "$0"; exit 2; }
  say "== $step"
  began=$SECONDS
  "step_$step"
  case " ${NOT_RUN[*]} " in
    *" $step "*) say "== $step NOT RUN" ;;
    *) say "== $step passed in $((SECONDS - began)) s" ;;
  esac
done
[ ${#NOT_RUN[@]} = 0 ] || say "NOT RUN: ${NOT_RUN[*]}"
