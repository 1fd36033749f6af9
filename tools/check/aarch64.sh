#!/bin/sh
# Cross-build the aarch64 wheel, check it, and run the Python tests on emulated Raspberry Pi CPUs;
# then install a bundle with it in an arm64 root, offline, and ask its agent; then build an image
# with it, and boot that.
# Debian 12 with its Python 3.11 only: the emulated Python comes from the same release.
set -eu
cd "$(dirname "$0")/../.."
. tools/check/environment.sh
environment gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user qemu-system-arm \
    device-tree-compiler dosfstools e2fsprogs erofs-utils mtools -- "[cross,sign]"
python tools/check/build_aarch64.py --test
python tools/check/bundle_aarch64.py --wheel dist/bankai_edge-*-abi3-*_aarch64.whl
exec python tools/check/boot_image.py --wheel dist/bankai_edge-*-abi3-*_aarch64.whl
