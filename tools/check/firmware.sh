#!/bin/sh
# The firmware, from nothing: build it for every board that can be built here, show its sizes, run
# its demo, and test the core on the emulated chips. (The whole device's tests are check.sh's.)
set -eu
cd "$(dirname "$0")/../.."
. tools/check/environment.sh
environment gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm -- "[test]"
python -m pip install -q --disable-pip-version-check -r firmware/requirements.txt
export PLATFORMIO_DISABLE_UPGRADE_CHECK=true
python firmware/scripts/firmware_seed.py
rm -rf firmware/.pio/build
start=$(date +%s)
(cd firmware && pio run -s)
echo "pio run, both emulated boards from clean: $(($(date +%s) - start)) s"
cd firmware
pio run -s -e mps3_an547 -e stm32f405 -e stm32f405_switcher -e nucleo_h743zi -e pico -e pico2
for board in mps2_an500 netduinoplus2 mps3_an547 stm32f405 stm32f405_switcher; do
    echo "== $board"
    python scripts/firmware_ram.py .pio/build/$board/firmware.elf
done
# Upload starts QEMU; the command line then finds the board at its port.
pio run -e netduinoplus2 -t size | grep "^\."
pio run -s -e netduinoplus2 -t upload
trap 'python scripts/firmware_qemu.py stop netduinoplus2' EXIT
bankai-edge verify --device serial:.pio/tty-netduinoplus2
cd ..
python tools/check/firmware_demo.py
# Last: a test program takes the place of the firmware in .pio/build.
cd firmware
pio test -e mps2_an500 -e netduinoplus2 -e mps3_an547
