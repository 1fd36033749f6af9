#!/bin/sh
# Cross-build the aarch64 wheel, check it, and run the Python tests on emulated Raspberry Pi CPUs.
# Debian 12 with its Python 3.11 only: the emulated Python comes from the same release.
set -eu
cd "$(dirname "$0")/.."
. tools/environment.sh
environment gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user -- "[cross]"
exec python tools/build_aarch64.py --test
