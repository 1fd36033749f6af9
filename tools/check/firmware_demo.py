"""The microcontroller's story in one command: build, emulate, push a patch, ask before and after.

    python tools/check/firmware_demo.py [ENVIRONMENT...]

Builds the firmware for both emulated boards (PlatformIO, QEMU and arm-none-eabi-gcc must be there:
tools/check/firmware.sh installs them), starts each in QEMU, and talks to it through its serial port
with the ordinary command line. The questions are held out: neither the model nor the patch has seen
them. Prints a transcript; no emulator outlives it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
sys.path.append(str(FIRMWARE / "scripts"))
import firmware_qemu  # noqa: E402

from bankai_edge.patch import bkp  # noqa: E402
from bankai_edge.probes.domains import Item, forms, items  # noqa: E402
from bankai_edge.shipped import ARITH  # noqa: E402

BOARDS = {"mps2_an500": "mps2-an500", "netduinoplus2": "netduinoplus2", "mps3_an547": "mps3-an547"}
DEFAULT = ("mps2_an500", "netduinoplus2")
QUESTIONS, SEED = 4, 5


class DemoError(RuntimeError):
    """A step that did not go as the transcript should show."""


def run(command: list[str], cwd: Path, shown: str) -> str:
    """Run one step and print it as a person would have typed it; returns what it printed."""
    print(f"$ {shown}", flush=True)
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise DemoError(f"{shown}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def build(environments: list[str]) -> None:
    """`pio run`; prints the size of each."""
    seed = FIRMWARE / "scripts/firmware_seed.py"
    run([sys.executable, str(seed)], FIRMWARE, "python firmware/scripts/firmware_seed.py")
    chosen = [word for name in environments for word in ("-e", name)]
    start = time.monotonic()
    said = run(
        [sys.executable, "-m", "platformio", "run", *chosen],
        FIRMWARE,
        shlex.join(["pio", "run", *chosen]),
    )
    for line in said.splitlines():
        if line.startswith(("Processing", "RAM:", "Flash:")):
            print(line)
    print(f"(built in {time.monotonic() - start:.1f} s)")


@dataclass
class Conversation:
    """One board, asked through its serial port by `bankai-edge`."""

    port: Path
    questions: list[Item]
    answers: dict[str, list[str]] = field(default_factory=dict)

    def tell(self, verb: str, *arguments: str, quiet: bool = False) -> str:
        """Run a verb against the board and print what it said; returns that."""
        shown = shlex.join(["bankai-edge", verb, *arguments, "--device", self.port.name])
        command = [sys.executable, "-m", "bankai_edge", verb, *arguments]
        # From beside the patch, not from the checkout, which would stand in for the package.
        said = run([*command, "--device", f"serial:{self.port}"], ARITH.parent, shown)
        said = said.replace(f"serial:{self.port}", self.port.name)
        said = said.replace(str(self.port), self.port.name)
        if not quiet:
            print(said.rstrip())
        return said.strip()

    def ask_all(self, when: str) -> None:
        """Ask every question."""
        self.answers[when] = []
        for item in self.questions:
            answer = self.tell("ask", item.prompt, quiet=True).splitlines()[0]
            verdict = "right" if answer == item.answer else f"wrong: it is {item.answer}"
            print(f"{answer:20} ({verdict})")
            self.answers[when].append(answer)

    def right(self, when: str) -> int:
        """How many answers were right."""
        pairs = zip(self.answers[when], self.questions, strict=True)
        return sum(answer == item.answer for answer, item in pairs)

    def hold(self) -> None:
        """The whole conversation; raises DemoError if the patch does not do what it should."""
        self.tell("info")
        self.ask_all("before")
        self.tell("push", ARITH.name, "--use")
        self.ask_all("after")
        self.tell("off")
        self.ask_all("off")
        if self.answers["off"] != self.answers["before"]:
            raise DemoError("without the patch the answers are not what they were before it")
        if self.right("after") <= self.right("before"):
            raise DemoError("the patch has not made the answers better")
        right = [f"{self.right(when)} of {len(self.questions)} {when}" for when in self.answers]
        print(f"right: {', '.join(right)}")


def main(environments: list[str]) -> int:
    """Run the demo; exit codes 0 done, 1 something failed, 2 usage."""
    chosen = environments or list(DEFAULT)
    if unknown := [name for name in chosen if name not in BOARDS]:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(BOARDS)}", file=sys.stderr)
        return 2
    os.environ["PLATFORMIO_DISABLE_UPGRADE_CHECK"] = "true"
    form = str(bkp.decode(ARITH.read_bytes()).provenance["form"])
    domain = next(f.domain for f in forms() if f.name == form)
    questions = items(domain, form, "heldout", n=QUESTIONS, seed=SEED)
    try:
        build(chosen)
        for name in chosen:
            with tempfile.TemporaryDirectory() as folder, ExitStack() as later:
                elf = FIRMWARE / ".pio" / "build" / name / "firmware.elf"
                print(f"\n$ pio run -e {name} -t upload")
                later.callback(firmware_qemu.stop, BOARDS[name], Path(folder))
                port = firmware_qemu.start(BOARDS[name], elf, Path(folder))
                # Held open: QEMU looks once a second whether somebody has opened its pty, and
                # drops what is sent before it has seen that.
                later.callback(os.close, os.open(port, os.O_RDWR | os.O_NOCTTY))
                Conversation(port, questions).hold()
    except (DemoError, firmware_qemu.EmulatorError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
