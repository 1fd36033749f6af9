"""docs/deploy.md: every block says whether it can be run here, and those that can are run.

What stands in for what a test has not (an index, root, a Pi) is in SUBSTITUTES and on the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bankai_edge.agent.pty_line import PtyCable
from bankai_edge.bundle.versions import PREFIX
from support import ROOT
from support.bundles import BOARD, PYTHON, REQUIRED, own_wheel, wheel_of

if sys.version_info < (3, 11):
    pytest.skip("bundles are for CPython 3.11 and newer", allow_module_level=True)

PAGE = ROOT / "docs/deploy.md"
BLOCK = re.compile(r"^<!-- (.+?) -->\n```sh\n(.*?)^```$", re.M | re.S)
PLACES = ("host", "device")
SUBSTITUTES = {
    "rpi4": BOARD,
    "image bundle": f"image bundle --python {PYTHON}",
    "sudo python3 site.bkb": 'python3 site.bkb --root "$ROOT"',
    "sudo bankai-edge image install": 'bankai-edge image install --root "$ROOT"',
    "sudo bankai-edge image rollback": 'bankai-edge image rollback --root "$ROOT"',
    "/dev/ttyUSB0": "$TTY",
}
CARRIED = ("site.bkb", "next.bkb", "keys/site.pub")


@dataclass(frozen=True)
class Block:
    place: str
    text: str


def blocks() -> list[Block]:
    """The blocks to run, in order."""
    found = []
    for mark, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        verb, _, place = mark.partition(": ")
        assert verb in ("run", "hardware"), mark
        if verb == "run":
            assert place in PLACES, mark
            found.append(Block(place, text))
    return found


def test_every_block_is_marked() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```sh") == len(BLOCK.findall(text)) > 8
    assert len(re.findall(r"^```", text, re.M)) == 2 * text.count("```sh")
    commands = "".join(block.text for block in blocks())
    for old in SUBSTITUTES:
        assert old in commands, f"{old} is on the page no more"
    hardware = [text for mark, text in BLOCK.findall(text) if mark == "hardware"]
    assert all("/boot/" in text or "systemctl" in text for text in hardware), "else it could run"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip finds in place of an index."""
    folder = tmp_path_factory.mktemp("index")
    for name in (*REQUIRED, "cryptography", "packaging", "cffi", "pycparser"):
        wheel_of(name, folder)
    own_wheel(folder)
    return folder


class Desk:
    """A computer and a device: two folders, one device's root, the line between them."""

    def __init__(self, home: Path, index: Path, cable: PtyCable) -> None:
        self.root = home / "root"
        self.folders = {place: home / place for place in PLACES}
        for folder in (self.root, *self.folders.values()):
            folder.mkdir()
        self._cable = cable
        self._agent: subprocess.Popen[str] | None = None
        python = Path(sys.executable).resolve()
        (home / "bin").mkdir()
        (home / "bin/python3").symlink_to(python)
        self._env = {
            "PATH": f"{home / 'bin'}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8",
            "ROOT": str(self.root), "TTY": cable.host_path, "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull, "NO_COLOR": "1",
        }  # fmt: skip

    def run(self, block: Block) -> str:
        """Run a block as its place's user would; what it said."""
        script = block.text
        for old, new in SUBSTITUTES.items():
            script = script.replace(old, new)
        environment = dict(self._env)
        if block.place == "host":
            script = "[ ! -d env ] || . env/bin/activate\n" + script
        else:
            environment["PATH"] = f"{self.root / 'usr/local/bin'}:{environment['PATH']}"
            self._carry()
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.folders[block.place], env=environment, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"
        if block.place == "device":
            self.serve()
        return done.stdout + done.stderr

    def _carry(self) -> None:
        for name in CARRIED:
            source = self.folders["host"] / name
            if source.exists():
                target = self.folders["device"] / source.name
                target.unlink(missing_ok=True)
                target.hardlink_to(source)

    def serve(self) -> None:
        """(Re)start the agent on the UART, as the installed unit would."""
        self.stop()
        program = self.root / PREFIX / "current/bin/bankai-edge-agent"
        self._agent = subprocess.Popen(
            [program, "--serial", self._cable.agent_path],
            env=self._env, cwd="/", stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._agent.stderr is not None
        said = []
        for line in self._agent.stderr:
            said.append(line)
            if ": ready on " in line:
                return
        raise AssertionError("".join(said))

    def stop(self) -> None:
        if self._agent is not None:
            self._agent.terminate()
            self._agent.wait(timeout=20)


@pytest.fixture
def desk(tmp_path: Path, index: Path) -> Iterator[Desk]:
    with PtyCable() as cable:
        desk = Desk(tmp_path, index, cable)
        try:
            yield desk
        finally:
            desk.stop()


def test_the_page_runs(desk: Desk) -> None:
    said = [desk.run(block) for block in blocks()]
    told = "\n".join(said)
    wire = next(text for text in said if "refused: not signed" in text)
    assert "refused: not signed, exit 5" in wire
    answers = [line for line in wire.splitlines() if line.strip() in ("32", "42")]
    assert [answer.strip() for answer in answers] == ["32", "42"]
    assert "is installed already; nothing was changed" in told
    assert said[-1].count("is run from now on") == 3, "installed, back, and forward again"
    there = sorted(path.name for path in (desk.root / PREFIX / "versions").iterdir())
    assert len(there) == 2
