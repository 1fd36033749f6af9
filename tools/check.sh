#!/bin/sh
# Install what the tests need and run them all: lint, types, spelling, the house, C under sanitizers,
# the firmware on emulated chips, pytest.
set -eu
cd "$(dirname "$0")/.."
. tools/check/environment.sh
# Only CI: a developer's machine is not given an ssh server for a test that can be skipped.
environment gcc-arm-none-eabi libnewlib-arm-none-eabi gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
    qemu-user qemu-system-arm device-tree-compiler dosfstools erofs-utils mtools \
    ${CI:+openssh-server openssh-client iproute2} -- "[test]"
ruff check .
ruff format --check .
mypy
codespell
find cython_ext firmware tests -name .pio -prune -o -name "*.[ch]" -print0 |
    xargs -0 clang-format --dry-run -Werror
python tools/check/house.py
python -m pip install -q --disable-pip-version-check -r firmware/requirements.txt
exec pytest "$@"
