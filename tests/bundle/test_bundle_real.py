"""The whole way with everything real: wheels, `python3 site.bkb`, the agent that it installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bankai_edge.bundle.versions import PREFIX, STORE
from bankai_edge.model import Model
from bankai_edge.shipped import ARITH, NANO
from support.agents import bankai, make_patch
from support.bundles import BOARD, PYTHON, REQUIRED, own_wheel, wheel_of

if sys.version_info < (3, 11):
    pytest.skip("bundles are for CPython 3.11 and newer", allow_module_level=True)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This environment's packages, as an index would have them."""
    folder = tmp_path_factory.mktemp("wheels")
    for name in REQUIRED:
        wheel_of(name, folder)
    return folder


@pytest.fixture(scope="module")
def bundles(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two bundles of one model: with one patch, and with that one changed and another."""
    folder = tmp_path_factory.mktemp("bundles")
    own = own_wheel(folder)
    made = []
    for n, patches in enumerate(({"arith": ARITH.read_bytes()}, {"arith": b"", "units": b""})):
        home = folder / f"patches{n}"
        home.mkdir()
        if n == 1:
            patches = {
                "arith": make_patch(Model(NANO), "arith", range(9)),
                "units": ARITH.with_name("units.bkp").read_bytes(),
            }
        for name, data in patches.items():
            (home / f"{name}.bkp").write_bytes(data)
        made.append(folder / f"site{n}.bkb")
        done = bankai(
            "image", "bundle", "--board", BOARD, "-m", NANO, "--patches", home,
            "--python", PYTHON, "--wheel", own, "--wheels", wheels, "--serial", "none",
            "-o", made[-1],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    return made


def clean() -> dict[str, str]:
    """An environment as a bare system's: nothing leads back to this one's packages."""
    return {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"}


def bare(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, env=clean(), cwd="/", timeout=120
    )


def put(bundle: Path, root: Path) -> None:
    done = bare(Path(sys.executable).resolve(), bundle, "--root", root)
    assert done.returncode == 0, done.stderr


@contextmanager
def agent(root: Path, socket: Path) -> Iterator[list[str]]:
    """The installed agent, as its unit starts it; the lines of its log."""
    program = root / PREFIX / "current/bin/bankai-edge-agent"
    process = subprocess.Popen(
        [program, "--unix", socket], stderr=subprocess.PIPE, text=True, env=clean(), cwd="/"
    )
    assert process.stderr is not None
    log: list[str] = []
    for line in process.stderr:
        log.append(line.strip())
        if ": ready on " in line:
            break
    try:
        yield log
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0, "\n".join(log)


def device(root: Path, socket: Path, *words: str | Path) -> str:
    """A command of the installed program, against the installed agent; its stdout."""
    program = root / PREFIX / "current/bin/bankai-edge"
    done = bare(program, *words, "--device", f"unix:{socket}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def stored(root: Path, socket: Path) -> set[str]:
    patches = json.loads(device(root, socket, "list", "--json"))["patches"]
    return {patch["name"] for patch in patches}


def test_from_the_file_to_an_answer(bundles: list[Path], tmp_path: Path) -> None:
    """Install, ask, specialise, update, roll back; what a person pushed and removed stays so."""
    root, socket = tmp_path / "root", tmp_path / "s"
    root.mkdir()
    began = time.monotonic()
    put(bundles[0], root)
    print(f"install: {time.monotonic() - began:.1f} s")
    site = root / PREFIX / "current/site"
    before = sum(1 for _ in site.rglob("*"))
    mine = make_patch(Model(NANO), "mine", range(40, 60))
    (tmp_path / "mine.bkp").write_bytes(mine)
    with agent(root, socket) as log:
        assert any("arith is stored, as this version has it" in line for line in log)
        assert stored(root, socket) == {"arith"}
        plain = device(root, socket, "ask", "what is 17+25?")
        assert device(root, socket, "use", "arith") is not None
        assert device(root, socket, "ask", "what is 17+25?").strip() == "42"
        assert plain.strip() != "42", "else the patch shows nothing"
        device(root, socket, "push", tmp_path / "mine.bkp")
    put(bundles[1], root)
    with agent(root, socket) as log:
        assert stored(root, socket) == {"arith", "mine", "units"}
        assert any("arith is stored" in line for line in log), "nobody had pushed another arith"
        device(root, socket, "off")
        device(root, socket, "rm", "units")
    with agent(root, socket) as log:
        assert stored(root, socket) == {"arith", "mine"}, "what was removed does not come back"
        assert not any("is stored" in line for line in log)
    program = root / PREFIX / "current/bin/bankai-edge"
    assert bare(program, "image", "rollback", "--root", root).returncode == 0
    with agent(root, socket):
        assert stored(root, socket) == {"arith", "mine"}
        device(root, socket, "use", "arith")
        assert device(root, socket, "ask", "what is 17+25?").strip() == "42"
    assert sum(1 for _ in site.rglob("*")) == before, "nothing is written there but by installs"
    assert (root / STORE / "seeded.json").exists() and os.access(program, os.X_OK)
