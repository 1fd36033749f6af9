#!/bin/sh
# The firmware, from nothing: build it for every board that can be built here, show its sizes, test
# the core on the emulated chips, the ports and the whole device, and run its demo.
set -eu
cd "$(dirname "$0")/.."
. tools/environment.sh
environment gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm -- "[test]"
python -m pip install -q --disable-pip-version-check -r firmware/requirements.txt
export PLATFORMIO_DISABLE_UPGRADE_CHECK=true
python tools/firmware_seed.py
rm -rf firmware/.pio/build
start=$(date +%s)
(cd firmware && pio run -s)
echo "pio run, both emulated boards from clean: $(($(date +%s) - start)) s"
cd firmware
pio run -s -e mps3_an547 -e stm32f405 -e stm32f405_switcher
for board in mps2_an500 netduinoplus2 mps3_an547 stm32f405 stm32f405_switcher; do
    echo "== $board"
    python ../tools/firmware_ram.py .pio/build/$board/firmware.elf
done
cd ..
FIRMWARE="$PWD/firmware/.pio/build" pytest tests/test_firmware*.py "$@"
python tools/firmware_demo.py
# Last: a test program takes the place of the firmware in .pio/build.
cd firmware
exec pio test -e mps2_an500 -e netduinoplus2 -e mps3_an547
