"""QEMU as a board: boots an image file, gives its UART to the host, and can cut its power.

What a board's firmware would load from the image's boot partition is taken out of that partition
here, since QEMU has none of the boards' own firmware.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import tty
from dataclasses import dataclass
from pathlib import Path

from bankai_edge.errors import BankaiError
from bankai_edge.host.address import Address
from bankai_edge.host.client import Client
from bankai_edge.host.transports import open_transport
from bankai_edge.image import partitions

QEMU = "qemu-system-aarch64"
PACKAGES = "qemu-system-arm mtools e2fsprogs"  # Debian's names
PROBE_S = 0.25


@dataclass(frozen=True)
class Machine:
    """How QEMU is to be the board of an image."""

    arguments: tuple[str, ...]
    drive: tuple[str, ...]  # how the card is attached; {image} is its file
    console: tuple[str, ...]  # where the kernel's words go; {log} is a file
    tree: str = ""
    network: tuple[str, ...] = ()  # {port}: of this host, led to the agent's


MACHINES = {
    "qemu-virt": Machine(
        ("-M", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "1024"),
        ("-drive", "if=none,id=card,format=raw,file={image}",
         "-device", "virtio-blk-device,drive=card"),
        ("-device", "virtio-serial-device", "-chardev", "file,id=words,path={log}",
         "-device", "virtconsole,chardev=words"),
        network=("-netdev", "user,id=net,hostfwd=udp:127.0.0.1:{port}-:1337",
                 "-device", "virtio-net-device,netdev=net"),
    ),
    "rpi3": Machine(
        ("-M", "raspi3b"),
        ("-drive", "if=sd,format=raw,file={image}"),
        ("-serial", "file:{log}"),
        tree="bcm2837-rpi-3-b.dtb",
    ),
}  # fmt: skip


def missing_tool() -> str | None:
    """The first program that is not installed, or None."""
    return next((tool for tool in (QEMU, "mcopy", "e2fsck") if not _find(tool)), None)


def _find(tool: str) -> str | None:
    return shutil.which(tool, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def take_boot_files(image: Path, folder: Path) -> None:
    """Copy what lies in an image's boot partition."""
    folder.mkdir(exist_ok=True)
    _, parts = partitions.read_table(image)
    place = f"{image}@@{parts[0].start}"
    subprocess.run(["mcopy", "-n", "-o", "-i", place, "::*", str(folder)], check=True)


def check_data(image: Path, work: Path) -> str:
    """What e2fsck says of a copy of the data partition once its journal is replayed.

    Raises BankaiError for damage beyond what a journal is for.
    """
    part = partitions.read_table(image)[1][3]
    copy = work / "data.ext4"
    with image.open("rb") as source, copy.open("wb") as target:
        source.seek(part.start)
        for _ in range(part.size // partitions.MIB):
            piece = source.read(partitions.MIB)
            target.seek(len(piece), os.SEEK_CUR) if not any(piece) else target.write(piece)
        target.truncate(part.size)
    e2fsck = _find("e2fsck")
    assert e2fsck is not None
    replay = subprocess.run([e2fsck, "-p", str(copy)], capture_output=True, text=True)
    whole = subprocess.run([e2fsck, "-fn", str(copy)], capture_output=True, text=True)
    if replay.returncode > 1 or whole.returncode:
        raise BankaiError(f"the data partition is damaged: {replay.stdout}{whole.stdout}")
    return replay.stdout.strip()


class Board:
    """A booted image. `address` is what --device takes; `console` the kernel's and init's words."""

    def __init__(
        self, image: Path, board: str, work: Path, *, words: str = "", socket: Path | None = None,
        port: int = 0,
    ) -> None:  # fmt: skip
        machine = MACHINES[board]
        self._files, self._log = work / "boot", work / "console.log"
        take_boot_files(image, self._files)
        self._log.write_bytes(b"")
        command = (self._files / "cmdline.txt").read_text().strip()
        uart = ["-chardev", f"socket,id=uart,path={socket},server=on,wait=off"]
        if socket is None:
            uart = ["-chardev", "pty,id=uart"]
        words_of_qemu = {"image": str(image), "log": str(self._log), "port": str(port)}
        given = (*machine.drive, *(machine.network if port else ()))
        tree = ["-dtb", str(self._files / machine.tree)] if machine.tree else []
        self._process = subprocess.Popen(
            [QEMU, *machine.arguments, "-display", "none", "-nodefaults", "-monitor", "none",
             "-kernel", str(self._files / "vmlinuz"),
             "-initrd", str(self._files / "initramfs.gz"), *tree,
             "-append", f"{command} {words}".strip(),
             *(part.format(**words_of_qemu) for part in given), *uart, "-serial", "chardev:uart",
             *(part.format(**words_of_qemu) for part in machine.console)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.started = time.monotonic()
        self._said = ""
        self._pty = threading.Event()
        self._cable = -1
        threading.Thread(target=self._read, daemon=True).start()
        if socket is not None:
            self.address = Address("unix", str(socket))
        else:
            if not self._pty.wait(20):
                self.kill()
                raise BankaiError(f"{QEMU} gave no pty: {self._said}")
            found = re.search(r"/dev/pts/\d+", self._said)
            assert found is not None
            self.address = Address("serial", found[0])
            # A cable that stays plugged in: QEMU looks only once a second whether one is.
            self._cable = os.open(found[0], os.O_RDWR | os.O_NOCTTY)
            tty.setraw(self._cable)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said += line
            if "/dev/pts/" in line:
                self._pty.set()

    @property
    def console(self) -> str:
        """What has been said so far."""
        return self._log.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        """Whether QEMU runs."""
        return self._process.poll() is None

    def client(self, timeout_s: float = 10.0, tries: int = 3) -> Client:
        """The host's own client of the agent on this board."""
        return Client(open_transport(self.address), timeout_s=timeout_s, tries=tries)

    def wait_ready(self, limit_s: float) -> float:
        """Seconds from power-on until the agent has answered; BankaiError after `limit_s`."""
        while time.monotonic() - self.started < limit_s and self.alive:
            with contextlib.suppress(BankaiError), self.client(PROBE_S, 1) as client:
                client.info()
                return time.monotonic() - self.started
            time.sleep(PROBE_S)
        raise BankaiError(f"no agent after {limit_s:.0f} s:\n{self._said}{self.console[-2000:]}")

    def wait_for(self, text: str, limit_s: float) -> str:
        """The console's line that begins with `text`; raises BankaiError after `limit_s`."""
        while time.monotonic() - self.started < limit_s and self.alive:
            for line in self.console.splitlines(keepends=True):
                if line.startswith(text) and line.endswith("\n"):
                    return line.strip()
            time.sleep(PROBE_S)
        raise BankaiError(f"no {text!r} on the console after {limit_s:.0f} s:\n{self.console}")

    def kill(self) -> None:
        """Cut the power."""
        if self.alive:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)
        if self._cable >= 0:
            os.close(self._cable)
            self._cable = -1

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
