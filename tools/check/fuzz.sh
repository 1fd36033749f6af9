#!/bin/sh
# Fuzz the SMP server (framing, CBOR, dispatch) with libFuzzer, one core, then keep what is new.
#
#   tools/check/fuzz.sh [SECONDS] [WORK-DIRECTORY]      default: 1800 s in build-fuzz/
#
# Needs clang with its runtime (Debian: clang libclang-rt-14-dev). The committed corpus,
# tests/c/corpus_smp, seeds the run; afterwards it is replaced by a minimal set that reaches the
# same code, unless KEEP_CORPUS is set. tests/core/test_fuzz_corpus.py replays it with gcc's sanitizers.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-1800}
work=${2:-build-fuzz}
corpus=tests/c/corpus_smp
clang=${CLANG:-clang}
mkdir -p "$work/found" "$corpus"
"$clang" -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    tests/c/fuzz_smp.c $("${PYTHON:-python3}" cython_ext/core_build.py all) -o "$work/fuzz_smp"
cat > "$work/dictionary" <<'WORDS'
"\x61d"
"\x63off"
"\x63len"
"\x63sha"
"\x64name"
"\x64data"
"\x64type"
"\x64from"
"\x65names"
"\x65index"
"\x66detail"
"\x66groups"
"\x66prompt"
"\x6amax_tokens"
"\x6a/bkp/a.bkp"
"\x66sha256"
"\x65crc32"
"\x42\x4b"
"\x06\x09"
"\x04\x14"
WORDS
nice -n 19 "$work/fuzz_smp" -max_total_time="$seconds" -max_len=1024 -timeout=10 -rss_limit_mb=1024 \
    -dict="$work/dictionary" -print_final_stats=1 -artifact_prefix="$work/" \
    "$work/found" "$corpus" > "$work/log" 2>&1 || { tail -40 "$work/log" >&2; exit 1; }
grep -E '^stat::number_of_executed_units|^stat::average_exec|^#.* DONE' "$work/log"
[ -z "${KEEP_CORPUS:-}" ] || exit 0
mkdir -p "$work/minimal"
"$work/fuzz_smp" -merge=1 "$work/minimal" "$work/found" "$corpus" > "$work/merge-log" 2>&1
rm -f "$corpus"/*
cp "$work/minimal"/* "$corpus/"
echo "$(ls "$corpus" | wc -l) inputs, $(cat "$corpus"/* | wc -c) bytes in $corpus"
