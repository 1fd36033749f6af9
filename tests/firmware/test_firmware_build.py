"""What the firmware's build promises: its memory plan, where things lie, and its two helpers."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import firmware_qemu
import firmware_ram
import firmware_seed
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bankai_edge.errors import SignatureError
from bankai_edge.patch import keys, sign
from bankai_edge.shipped import ARITH
from support import ROOT
from support.firmware.board import client_of
from support.firmware.qemu import CHIPS, Chip, QemuBoard, programs

PART_RAM = 131_072  # an STM32F405's, without the 64 KB that only the core reaches


@pytest.fixture(scope="session")
def built() -> dict[str, Path]:
    return programs()


@pytest.fixture(params=CHIPS.values(), ids=CHIPS)
def chip(request: pytest.FixtureRequest) -> Chip:
    assert isinstance(request.param, Chip)
    return request.param


def planned(elf: Path) -> dict[str, int]:
    return {name.strip(): n for name, n in firmware_ram.plan(elf)}


def test_the_plan_is_what_the_device_says(
    chip: Chip, built: dict[str, Path], tmp_path: Path
) -> None:
    """The memory printed at build is the running device's; its stack has been enough."""
    elf = built[chip.environment]
    plan = planned(elf)
    with QemuBoard(chip, elf, tmp_path) as board, client_of(board) as client:
        client.info()  # is soon asked again, should QEMU not yet have seen its pty open
        said = client.bench()
    assert said["memory_bytes"] == plan["memory"]
    assert said["stack_bytes"] == plan["stack"]
    assert 0 < said["stack_used"] <= plan["stack"] * 3 // 4
    rest = plan["tokenizer, logits, texts, overlay"]
    fixed = plan[f"KV cache of {chip.ctx} tokens"] + plan["activations"]
    assert fixed + rest == plan["memory"]
    # What is neither planned nor for overlays: tokenizer 6.3 KiB, logits 2 KiB, texts.
    assert 0 < said["memory_used"] - fixed < 12 * 1024
    assert said["memory_used"] + said["overlay_bytes"] <= plan["memory"]
    assert (said["overlay_bytes"] > 8192) == (chip.mode == "overlay")


def test_a_context_of_48_fits_the_stm32f405(built: dict[str, Path]) -> None:
    """Stack, data and memory end within the part's 128 KB, and an overlay has room."""
    chip = CHIPS["netduinoplus2"]
    plan = planned(built[chip.environment])
    assert chip.ctx >= 48
    assert PART_RAM - 64 < plan["stack"] + plan["static data"] + plan["memory"] <= PART_RAM
    assert plan["tokenizer, logits, texts, overlay"] > 16 * 1024


def test_a_chip_takes_only_what_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Built with the policy `require` and one key: Ed25519 on the chip, within its stack."""
    programs()  # the tools are there, and PlatformIO is seeded
    (_, public), key = keys.new(tmp_path, "site"), keys.read_private(tmp_path / "site.key")
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / public.name).write_bytes(public.read_bytes())
    monkeypatch.setenv("BANKAI_POLICY", "require")
    monkeypatch.setenv("BANKAI_TRUST", str(trust))
    monkeypatch.setenv("PLATFORMIO_BUILD_DIR", str(tmp_path / "build"))
    command = [sys.executable, "-m", "platformio", "run", "-s", "-e", "netduinoplus2"]
    assert subprocess.run(command, cwd=ROOT / "firmware").returncode == 0, capfd.readouterr().out
    chip, bare = CHIPS["netduinoplus2"], ARITH.read_bytes()
    tampered = bytearray(sign.sign(bare, key))
    tampered[-1] ^= 1
    elf = tmp_path / "build" / chip.environment / "firmware.elf"
    with QemuBoard(chip, elf, tmp_path) as board, client_of(board) as client:
        client.info()
        for refused in (bare, bytes(tampered), sign.sign(bare, Ed25519PrivateKey.generate())):
            with pytest.raises(SignatureError):
                client.push("arith", refused)
        client.push("arith", sign.sign(bare, key))
        client.activate(["arith"])
        assert "".join(client.generate("what is 45+87?")).strip() == "132"
        assert client.info()["policy"] == "require"
        board.reset()
        assert client.info()["active"] == ["arith"]  # verified again at the start
        said = client.bench()
    assert said["stack_used"] <= said["stack_bytes"] * 3 // 4


def test_the_patch_store_has_its_sectors_alone(built: dict[str, Path]) -> None:
    """Nothing of the program lies in flash sectors 1 to 3 of the STM32F405."""
    elf = built["netduinoplus2"]
    listing = subprocess.check_output(["arm-none-eabi-readelf", "-lW", str(elf)], text=True)
    loads = re.findall(r"LOAD +0x\w+ 0x\w+ (0x\w+) (0x\w+)", listing)
    flash = [(int(at, 16), int(n, 16)) for at, n in loads if int(n, 16)]
    assert any(at == 0x08000000 for at, _ in flash)
    for at, n in flash:
        assert at + n <= 0x08004000 or at >= 0x08010000, listing


def test_only_test_programs_use_semihosting(chip: Chip, built: dict[str, Path]) -> None:
    """Without a debugger such a call would be a fault."""
    code = subprocess.check_output(
        ["arm-none-eabi-objdump", "-d", str(built[chip.environment])], text=True
    )
    assert "bk_port_read" in code
    assert not re.search(r"bkpt\s+0x00ab", code)


def test_only_our_emulator_is_ended(tmp_path: Path) -> None:
    """A number left behind by a power cut may be any process's by now."""
    (tmp_path / "tty-board.pid").write_text(str(os.getpid()))
    assert not firmware_qemu.stop("board", tmp_path)
    (tmp_path / "tty-board.pid").write_text("?")
    assert not firmware_qemu.stop("board", tmp_path)


def test_start_replaces_and_stop_ends(built: dict[str, Path], tmp_path: Path) -> None:
    """One emulator a board and place; none is left."""
    chip = CHIPS["mps2-an500"]
    numbers = []
    for _ in range(2):
        port = firmware_qemu.start(chip.machine, built[chip.environment], tmp_path)
        numbers.append(int((tmp_path / f"{port.name}.pid").read_text()))
        assert port.exists()
    assert [firmware_qemu.is_qemu(n) for n in numbers] == [False, True]
    assert firmware_qemu.stop(chip.machine, tmp_path)
    assert not firmware_qemu.is_qemu(numbers[1])
    assert not list(tmp_path.iterdir())


def test_an_emulator_that_does_not_start_says_why(tmp_path: Path) -> None:
    if not firmware_qemu.installed():
        pytest.skip("qemu-system-arm is not installed")
    with pytest.raises(firmware_qemu.EmulatorError, match="no-such-board"):
        firmware_qemu.start("no-such-board", tmp_path / "none.elf", tmp_path)


def test_seed_refuses_another_scons(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """PlatformIO would fetch the one it wants: then the build is not what was asked for."""
    pytest.importorskip("platformio")
    pytest.importorskip("SCons")
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
    monkeypatch.setattr(firmware_seed, "own_version", lambda: "4.30000.0")
    assert firmware_seed.main() == 1
    assert "SCons is 4.30000.0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_monitor_talks_to_the_shell(built: dict[str, Path]) -> None:
    """`pio device monitor` finds the emulated board's port; a person's words are answered."""
    pytest.importorskip("platformio")
    chip, place = CHIPS["netduinoplus2"], ROOT / "firmware/.pio"
    firmware_qemu.start(chip.machine, built[chip.environment], place)
    command = [sys.executable, "-m", "platformio", "device", "monitor", "-e", chip.environment]
    person, terminal = os.openpty()
    try:
        with subprocess.Popen(
            command, cwd=ROOT / "firmware", stdin=terminal, stdout=terminal, stderr=terminal
        ) as monitor:
            try:
                assert "tty-netduinoplus2" in read_until(person, "Quit:")
                for _ in range(20):  # what is typed before the port is open is thrown away
                    os.write(person, b"ask 17+25=\r")
                    if "42" in read_until(person, "42", 3.0):
                        break
                else:
                    pytest.fail("the shell does not answer")
            finally:
                monitor.kill()
    finally:
        firmware_qemu.stop(chip.machine, place)
        os.close(person)
        os.close(terminal)


def read_until(file: int, words: str, seconds: float = 30.0) -> str:
    """What comes from a terminal until these words, or until the time is over."""
    seen, end = "", time.monotonic() + seconds
    while words not in seen and time.monotonic() < end:
        if select.select([file], [], [], 0.1)[0]:
            seen += os.read(file, 4096).decode(errors="replace")
    return seen
