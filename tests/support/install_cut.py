"""The power is cut at every operation of an install: the old version or the new one runs after it.

A device's life is a few installs and a rollback, with a store beside them. Each step is cut before
each of its operations, and what a medium may then hold is tried with several fates. What is found
must be the old version or the new one, to the byte, with everything that a rollback needs; the
store must be untouched; and the same step, done again, must end as if it had never been cut.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bankai_edge.bundle.container import Bundle
from bankai_edge.bundle.install import Target, install, rollback
from bankai_edge.bundle.make import make
from bankai_edge.bundle.versions import STORE, Versions
from support.bundles import tiny
from support.sim_disk import Fate, PowerCut
from support.sim_tree import SimTree

FATES: tuple[tuple[Fate, Fate], ...] = (
    ("lost", "lost"), ("kept", "kept"), ("random", "random"),
)  # fmt: skip
LIFE = ("install A", "install B", "rollback", "install B", "install C")
RUN_EVERY = 97  # cuts; after the others the bytes are only compared

Tree = dict[str, tuple[int, bytes] | str]  # path -> (mode, bytes), or what a link says


def tree(folder: Path) -> Tree:
    """Everything below a folder, but which version was run before."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            if name not in ("previous", ".previous"):
                found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = (path.stat().st_mode & 0o777, path.read_bytes())
    return found


@dataclass(frozen=True)
class State:
    """What is run and what a rollback returns to; names of bundles."""

    current: str | None
    previous: str | None


class Site:
    """A device's root, and three bundles that are installed on it."""

    def __init__(self, folder: Path, disk: type[SimTree]) -> None:
        self.root = folder / "root"
        self._snapshot = folder / "snapshot"
        self.root.mkdir()
        (self.root / "usr/lib/systemd").mkdir(parents=True)
        (self.root / "usr/lib/systemd/systemd").touch()
        (self.root / STORE / "patches").mkdir(parents=True)
        (self.root / STORE / "patches/mine.bkp").write_bytes(b"pushed by a person")
        self.target = Target.here(self.root)
        self.bundles, self.ids = {}, {}
        models = {"A": b"one model", "B": b"one model", "C": b"another"}
        for name, model in models.items():
            path = folder / f"{name}.bkb"
            manifest = make(path, tiny(folder, name, model=model))
            self.bundles[name] = path
            self.ids[f"{manifest.id}-py{self.target.python}"] = name
        self.disk = disk(self.root)
        self.whole: dict[str, Tree] = {}
        self.cuts = 0

    def do(self, step: str) -> None:
        verb, _, name = step.partition(" ")
        if verb == "rollback":
            rollback(self.root, disk=self.disk, note=lambda sentence: None)
            return
        with Bundle(self.bundles[name]) as bundle:
            install(bundle, self.target, disk=self.disk)

    def state(self) -> State:
        versions = Versions(self.root)
        current, previous = versions.current(), versions.previous()
        return State(
            self.ids[current] if current else None, self.ids[previous] if previous else None
        )

    def version(self, name: str) -> Path:
        found = next(key for key, value in self.ids.items() if value == name)
        return Versions(self.root).path(found)

    def check(self, allowed: set[State]) -> State:
        """What is found is one of the allowed states, and all of it is whole."""
        state = self.state()
        assert state in allowed, (state, allowed)
        for name in {state.current, state.previous} - {None}:
            assert name is not None
            assert tree(self.version(name)) == self.whole[name], name
        store = self.root / STORE
        assert tree(store) == {"patches/mine.bkp": (0o644, b"pushed by a person")}
        return state

    def runs(self, name: str | None) -> None:
        """The command of the version that is run says that it is this one."""
        program = self.root / "opt/bankai-edge/current/bin/bankai-edge"
        if name is None:
            assert not program.exists()
            return
        done = subprocess.run([program, "x"], capture_output=True, text=True)
        assert done.stdout == f"{name} x\n", done.stderr

    def tidy(self) -> None:
        """Nothing is left of what was cut short, and every link is there."""
        versions = sorted(path.name for path in (self.root / "opt/bankai-edge/versions").iterdir())
        state = self.state()
        assert sorted(self.ids[name] for name in versions) == sorted(
            {state.current, state.previous} - {None}  # type: ignore[type-var]
        )
        for place in ("usr/local/bin/bankai-edge", "etc/systemd/system/bankai-edge-agent.service"):
            assert (self.root / place).resolve().exists(), place

    def keep(self) -> None:
        """Remember this state, to cut the next step again and again."""
        shutil.rmtree(self._snapshot, ignore_errors=True)
        shutil.copytree(self.root, self._snapshot, symlinks=True)

    def back(self) -> None:
        """Return to the state remembered."""
        shutil.rmtree(self.root)
        shutil.copytree(self._snapshot, self.root, symlinks=True)
        self.disk.adopt()

    def cut(self, step: str, at: int, before: State, after: State, fate: tuple[Fate, Fate],
            rng: random.Random) -> bool:  # fmt: skip
        """Cut one step once and see what is left; False when it had fewer operations."""
        self.disk.arm(at)
        try:
            self.do(step)
        except PowerCut:
            self.cuts += 1
        else:
            self.disk.arm(None)
            return False
        self.disk.restart(*fate, rng)
        found = self.check({before, after})
        if self.cuts % RUN_EVERY == 0:
            self.runs(found.current)
        return True

    def again(self, step: str, found: State, after: State) -> None:
        """Do the step once more, where it had not come through: it ends as it should."""
        self.disk.arm(None)
        if found != after or step != "rollback":
            self.do(step)
        assert self.check({after}) == after
        if step != "rollback":
            self.tidy()


@contextmanager
def site(disk: type[SimTree] = SimTree) -> Iterator[Site]:
    """A device with an empty prefix, gone at the end."""
    fast = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=fast if fast.is_dir() else None))
    try:
        yield Site(folder, disk)
    finally:
        shutil.rmtree(folder)


def everywhere(
    fates: tuple[tuple[Fate, Fate], ...] = FATES, disk: type[SimTree] = SimTree
) -> tuple[int, int]:
    """Cut every operation of every step of a life; returns (operations, cuts)."""
    rng = random.Random(7)
    operations = 0
    with site(disk) as device:
        _see_all_whole(device)
        for step in LIFE:
            device.keep()
            before = device.state()
            device.disk.arm(None)
            device.do(step)
            after = device.check({device.state()})
            total, number = device.disk.count, 0
            for number in range(total):
                for fate in fates:
                    device.back()
                    assert device.cut(step, number, before, after, fate, rng)
                    device.again(step, device.state(), after)
            operations += total
            device.runs(after.current)
        return operations, device.cuts


def at_random(seed: int) -> int:
    """A random life in which most steps are cut, some again and again; returns the cuts."""
    rng = random.Random(seed)
    with site() as device:
        _see_all_whole(device)
        for _ in range(8):
            before = device.state()
            step = f"install {rng.choice('ABC')}"
            if before.previous and rng.random() < 0.3:
                step = "rollback"
            name = before.previous if step == "rollback" else step[-1]
            previous = before.previous if name == before.current else before.current
            after = State(name, previous)
            for _ in range(rng.choice([0, 1, 1, 2, 3])):
                fate: tuple[Fate, Fate] = rng.choice(FATES)
                if not device.cut(step, rng.randint(0, 45), before, after, fate, rng):
                    break
                if device.state() == after:
                    break
            device.again(step, device.state(), after)
        return device.cuts


def _see_all_whole(device: Site) -> None:
    """Learn how each version looks when nothing disturbs its install."""
    device.keep()
    for name in device.bundles:
        device.do(f"install {name}")
        device.whole[name] = tree(device.version(name))
        device.runs(name)
        device.back()
    assert len({str(whole) for whole in device.whole.values()}) == len(device.whole)
