#!/usr/bin/env bash
# run.sh TARGET [SECONDS]   fuzzes batch, snapshot, checkpoints or recovery with libFuzzer; what it finds lies in fuzz/artifacts/TARGET
#
# Needs a C++ compiler and no nightly: the coverage flags are those of cargo-fuzz without a sanitizer, for the code has no unsafe
# to sanitize. `cargo +nightly fuzz run TARGET` works as well. Each input that is found may join the seeds of crates/log/tests/fuzz.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
target=${1:?a target}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS=$coverage cargo build --quiet --release --target "$host" --bin "$target"
mkdir -p "corpus/$target" "artifacts/$target"
exec "$CARGO_TARGET_DIR/$host/release/$target" -max_total_time="${2:-60}" -timeout=10 -malloc_limit_mb=64 -rss_limit_mb=1024 \
  -artifact_prefix="artifacts/$target/" "corpus/$target"
