"""Start and stop an emulated board; `pio run -t upload` calls this.

    python firmware/scripts/firmware_qemu.py start MACHINE ELF [PLACE]
    python firmware/scripts/firmware_qemu.py stop MACHINE [PLACE]

PLACE (default .pio in the current folder) gets `tty-MACHINE`, a link to the board's serial port,
and `tty-MACHINE.pid`. A board that already runs there is replaced.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

QEMU = "qemu-system-arm"


class EmulatorError(RuntimeError):
    """No emulator, or one that does not start."""


def installed() -> bool:
    """Is there an emulator?"""
    return shutil.which(QEMU) is not None


def stop(machine: str, place: Path) -> bool:
    """End the board's emulator if one runs; was there one?"""
    pid_file = place / f"tty-{machine}.pid"
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return False
    # SIGKILL: a UART model that waits for a reader keeps QEMU from seeing anything else.
    found = is_qemu(pid)
    if found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        for _ in range(200):
            if not is_qemu(pid):
                break
            time.sleep(0.01)
    pid_file.unlink(missing_ok=True)
    (place / f"tty-{machine}").unlink(missing_ok=True)
    return found


def is_qemu(pid: int) -> bool:
    """Is this still our emulator, not some later process with its number?"""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0].endswith(QEMU.encode())


def start(machine: str, elf: Path, place: Path) -> Path:
    """Start the board with a program; returns the link to its serial port."""
    if not installed():
        raise EmulatorError(f"{QEMU} is not installed: apt-get install qemu-system-arm")
    place.mkdir(parents=True, exist_ok=True)
    stop(machine, place)
    link = place / f"tty-{machine}"
    command = [
        QEMU, "-M", machine, "-display", "none", "-monitor", "none", "-serial", "pty",
        "-daemonize", "-pidfile", str(link) + ".pid", "-kernel", str(elf),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    port = re.search(r"redirected to (\S+)", done.stdout + done.stderr)
    if done.returncode or port is None:
        raise EmulatorError(f"{QEMU} -M {machine} did not start: {done.stdout}{done.stderr}")
    link.unlink(missing_ok=True)
    link.symlink_to(port.group(1))
    return link


def main(arguments: list[str]) -> int:
    """Run the command line; exit codes 0 done, 1 failed, 2 usage."""
    verb, given = (arguments[0], arguments[1:]) if arguments else ("", [])
    wanted = {"start": 2, "stop": 1}.get(verb)
    if wanted is None or len(given) not in (wanted, wanted + 1):
        print((__doc__ or "").strip(), file=sys.stderr)
        return 2
    place = Path(given[wanted]) if len(given) > wanted else Path(".pio")
    try:
        if verb == "start":
            port = start(given[0], Path(given[1]), place)
            print(f"{given[0]} runs; its serial port is {port} -> {port.readlink()}")
        else:
            stop(given[0], place)
    except EmulatorError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
