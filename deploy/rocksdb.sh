#!/usr/bin/env bash
# Sourced by quickstart.sh and tests/run.sh: packages, cargo's target directory, and RocksDB compiled once for ever.
#
# RocksDB takes ten minutes of C++ on two cores. It is compiled once, kept as librocksdb.a in the cache under its version and
# the machine's architecture, and from then on linked from there: no other change compiles it again.
# Set by the caller: MILENA_ROOT (the checkout). MILENA_CACHE and CARGO_TARGET_DIR have defaults; ROCKSDB_LIB_DIR, when set, is kept.

MILENA_CACHE=${MILENA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/milena}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$MILENA_CACHE/target}

say() { printf '%s\n' "$*" >&2; }

# libclang itself, which bindgen loads; libclang-cpp, which other packages bring along, is another library.
has_libclang() {
  local lib
  for lib in /usr/lib/llvm-*/lib ${LIBCLANG_PATH:+"$LIBCLANG_PATH"}; do
    if compgen -G "$lib/libclang.so*" > /dev/null || compgen -G "$lib/libclang-[0-9]*.so*" > /dev/null; then return 0; fi
  done
  return 1
}

# milena_packages COMMAND=PACKAGE ...   installs with apt the packages whose commands (@libclang: the library) are missing, and says so.
milena_packages() {
  local pair command missing=() as_root=()
  for pair in "$@"; do
    command=${pair%%=*}
    case $command in
      @libclang) has_libclang || missing+=("${pair#*=}") ;;
      *) command -v "$command" > /dev/null 2>&1 || missing+=("${pair#*=}") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo > /dev/null 2>&1; then as_root=(sudo); else
      say "missing: ${missing[*]}. As root: apt-get install ${missing[*]}"; return 1
    fi
  fi
  command -v apt-get > /dev/null 2>&1 || { say "missing: ${missing[*]}; this machine has no apt-get, install them by hand"; return 1; }
  say "installing with apt-get: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq > /dev/null &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null ||
    { say "apt-get failed; install by hand: ${missing[*]}"; return 1; }
}

# milena_build_tools   what the binary needs beside rustup's toolchain: a C++ compiler for RocksDB, libclang for its bindings, make for jemalloc.
milena_build_tools() {
  command -v cargo > /dev/null 2>&1 || PATH=$HOME/.cargo/bin:$PATH
  command -v cargo > /dev/null 2>&1 || { say "missing: cargo. Install Rust from https://rustup.rs"; return 1; }
  milena_packages cc=gcc c++=g++ make=make @libclang=libclang-dev
}

# milena_rocksdb   makes ROCKSDB_LIB_DIR point to a compiled RocksDB, compiling it when this machine has none.
milena_rocksdb() {
  [ -z "${ROCKSDB_LIB_DIR:-}" ] || { export ROCKSDB_LIB_DIR ROCKSDB_STATIC=1; return 0; }
  local version dir built
  version=$(sed -n '/^name = "librocksdb-sys"$/{n;s/^version = "\(.*\)"$/\1/p}' "$MILENA_ROOT/Cargo.lock")
  [ -n "$version" ] || { say "Cargo.lock names no librocksdb-sys"; return 1; }
  dir=$MILENA_CACHE/rocksdb/$version-$(uname -m)
  if [ ! -s "$dir/librocksdb.a" ]; then
    say "compiling RocksDB $version once (about ten minutes on two cores); kept in $dir"
    (cd "$MILENA_ROOT" && cargo build --quiet --release --locked -p librocksdb-sys) || return 1
    built=$(ls -t "$CARGO_TARGET_DIR"/release/build/librocksdb-sys-*/out/librocksdb.a 2> /dev/null | head -n 1)
    [ -n "$built" ] || { say "no librocksdb.a below $CARGO_TARGET_DIR"; return 1; }
    mkdir -p "$dir" && cp "$built" "$dir/librocksdb.a.part" && mv "$dir/librocksdb.a.part" "$dir/librocksdb.a" || return 1
  fi
  export ROCKSDB_LIB_DIR=$dir ROCKSDB_STATIC=1
}
