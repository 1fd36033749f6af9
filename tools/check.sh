#!/bin/sh
# Install what the tests need and run them all: lint, types, C under sanitizers, pytest.
set -eu
cd "$(dirname "$0")/.."
. tools/environment.sh
environment gcc-arm-none-eabi libnewlib-arm-none-eabi gcc-aarch64-linux-gnu \
    libc6-dev-arm64-cross qemu-user -- "[test]"
ruff check .
ruff format --check .
mypy
exec pytest "$@"
