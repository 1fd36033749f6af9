#!/bin/sh
# Cross-build the aarch64 wheel, check it, and run the Python tests on emulated Raspberry Pi CPUs;
# then install a bundle with it in an arm64 root, offline, and ask its agent.
# Debian 12 with its Python 3.11 only: the emulated Python comes from the same release.
set -eu
cd "$(dirname "$0")/.."
. tools/environment.sh
environment gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user -- "[cross,sign]"
python tools/build_aarch64.py --test
exec python tools/check_bundle_aarch64.py --wheel dist/bankai_edge-*-abi3-*_aarch64.whl
