"""Power cuts at every operation of a store's life, and at random ones.

The agent, the session and the weights are the real ones; only the disk is simulated (sim_disk.py).
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from lives import Ideal, Set, Step, patch, random_step

from bankai_edge._device import DeviceError
from bankai_edge.agent.device import AgentDevice
from bankai_edge.agent.store import Store
from bankai_edge.model import Model, Session
from bankai_edge.shipped import NANO
from support.direct import Direct
from support.sim_disk import Fate, PowerCut, SimDisk

TOKENS = (17,)
CTX = 16
Mode = Literal["overlay", "in-place"]
SOON = 14  # operations: a start's, and the next change's

LIFE: tuple[Step, ...] = (
    ("push", "a1"),
    ("use", "a"),
    ("push", "a2"),  # overwrites what is active
    ("push", "b1"),
    ("use", "a", "b"),
    ("push", "b2"),
    ("rollback",),  # to the bytes of b1
    ("push", "c1"),
    ("use", "c"),  # whose probe fails: refused
    ("rollback",),
    ("use", "b"),
    ("rm", "a"),  # which the previous set still needs
    ("rollback",),
    ("off",),
    ("rm", "b"),
    ("push", "b1"),
    ("rm", "c"),
)


@cache
def model(mode: Mode) -> Model:
    return Model(NANO, writable=mode == "in-place")


@cache
def logits(members: Set) -> bytes:
    """What the model computes with these versions active, to the last bit, by a session of its own.

    Different for any two sets.
    """
    session = Session(Model(NANO), ctx=CTX)
    session.use([patch(version) for version in members])
    return session.logits(TOKENS).tobytes()


class System:
    """One board's life: a disk, and an agent that is started again after every cut."""

    def __init__(self, root: Path, mode: Mode, disk: type[SimDisk] = SimDisk) -> None:
        self.mode: Mode = mode
        self.root = root
        self.disk = disk(root)
        self.cuts = 0
        self.notes: list[str] = []
        self._session: Session | None = None

    @contextmanager
    def agent(self) -> Iterator[Direct]:
        """A freshly started agent, whose end is sudden."""
        store = None
        self.notes.clear()
        session = Session(model(self.mode), ctx=CTX, mode=self.mode)
        try:
            store = Store(self.root, self.disk, note=self.notes.append)
            self._session = session
            self._store = store
            agent = AgentDevice(session, store, log=self.notes.append, on_reset=lambda: None)
            yield Direct(agent, chunk_bytes=60)
        finally:
            # The next process maps the file anew; here one private copy serves all.
            session.use([])
            if store is not None:
                store.close()

    def do(self, device: Direct, step: Step) -> None:
        verb, *names = step
        if verb == "push":
            device.push(names[0][0], patch(names[0]))
        elif verb == "use":
            device.activate(names)
        elif verb == "off":
            device.deactivate([])
        elif verb == "rollback":
            device.rollback()
        else:
            device.remove(names[0])

    def check(self, device: Direct, allowed: set[Ideal]) -> Ideal:
        """The state found is one of `allowed`, whole; weights, journal and files agree."""
        journal, session = self._store.journal, self._session
        assert session is not None
        versions = {patch(v): v for v in ("a1", "a2", "b1", "b2", "c1")}

        def version(member: object) -> str:
            return versions[self._store.read(member)]  # type: ignore[arg-type]

        found = Ideal(
            tuple((name, version(name)) for name in self._store.names()),
            tuple(version(member) for member in journal.active),
            tuple(version(member) for member in journal.previous),
        )
        assert found in allowed, (found, allowed, self.notes)
        assert journal.starts == 0
        assert device.info()["active"] == [v[0] for v in found.active]
        assert [name for name, _, active in device.list() if active] == sorted(
            v[0] for v in found.active
        )
        assert session.weights_intact()
        assert session.logits(TOKENS).tobytes() == logits(found.active), found
        assert list((self.root / "tmp").iterdir()) == []
        return found

    def attempt(self, device: Direct, step: Step, state: Ideal) -> Ideal:
        """One step without a cut."""
        after = state.after(step)
        try:
            self.do(device, step)
        except DeviceError as error:
            assert after is None, (step, error)
            return state
        assert after is not None or step[0] in ("use", "off"), step
        return after or state

    def live(
        self,
        steps: tuple[Step, ...],
        cut: Callable[[bool], int | None],
        revive: Callable[[], None],
        state: Ideal | None = None,
    ) -> Ideal:
        """Take every step, started anew after every cut; `cut` says where the next one is.

        It is told whether the agent is about to start after a cut during its start.
        """
        state = state or Ideal()
        allowed = {state}
        at = 0
        starting = False
        while True:
            self.disk.arm(cut(starting))
            starting = True
            try:
                with self.agent() as device:
                    starting = False
                    found = self.check(device, allowed)
                    if found != state:
                        at += 1  # the step that was cut has happened
                    state, allowed = found, {found}
                    while at < len(steps):
                        allowed = {state, state.after(steps[at]) or state}
                        state = self.attempt(device, steps[at], state)
                        allowed = {state}
                        at += 1
                    self.disk.arm(None)
                    return self.check(device, allowed)
            except PowerCut:
                self.cuts += 1
                revive()


FATES: tuple[tuple[Fate, Fate], ...] = (
    ("lost", "lost"),
    ("kept", "lost"),
    ("lost", "kept"),
    ("kept", "kept"),
    ("random", "random"),
    ("random", "random"),
)


def everywhere(mode: Mode = "overlay", disk: type[SimDisk] = SimDisk) -> tuple[int, int]:
    """Cut the fixed life at each of its operations, each with every fate of what was unsynced.

    Returns (operations, cuts).
    """
    final = _final()
    operations = operations_of_life(mode)
    cuts = 0
    for at in range(operations):
        for number, fates in enumerate(FATES):
            with board(mode, disk) as system:
                rng = random.Random(f"{at} {number}")
                places = iter([at])
                end = system.live(
                    LIFE,
                    lambda starting, places=places: next(places, None),
                    lambda s=system, f=fates, r=rng: s.disk.restart(*f, r),
                )
                assert end == final
                assert system.cuts == 1
                cuts += system.cuts
    return operations, cuts


def twice(first: Literal["cut", "kill"], at_operations: range) -> int:
    """Cut the fixed life at these operations, then soon after the start that follows.

    With "kill" the first time only the process dies: what it wrote is still seen, and still not
    on the medium. Returns the number of cuts and kills.
    """
    final = _final()
    cuts = 0
    for at in at_operations:
        for second in range(SOON):
            with board("overlay") as system:
                rng = random.Random(f"{first} {at} {second}")
                places = iter([at, second])

                def revive(system: System = system, rng: random.Random = rng) -> None:
                    if system.cuts == 1 and first == "kill":
                        system.disk.revive()
                    else:
                        system.disk.restart("random", "random", rng)

                end = system.live(LIFE, lambda starting, p=places: next(p, None), revive)
                assert end == final
                cuts += system.cuts
    return cuts


def _final() -> Ideal:
    final = Ideal()
    for step in LIFE:
        final = final.after(step) or final
    return final


def operations_of_life(mode: Mode = "overlay") -> int:
    """How many disk operations the fixed life takes."""
    with board(mode) as system:
        with system.agent() as device:
            state = Ideal()
            for step in LIFE:
                state = system.attempt(device, step, state)
            assert system.check(device, {state}) == _final()
        return system.disk.count


def at_random(seed: int) -> int:
    """A random life with several cuts and kills at random operations; returns their number."""
    rng = random.Random(seed)
    steps = tuple(random_step(rng) for _ in range(25))
    with board(rng.choice(["overlay", "in-place"])) as system:

        def cut(starting: bool) -> int | None:
            # Two starts in a row that the agent does not survive are another story.
            return None if starting or rng.random() < 0.1 else int(rng.expovariate(1 / 15))

        def revive() -> None:
            if rng.random() < 0.25:
                system.disk.revive()  # SIGKILL: what was written is still seen, and still unsynced
            else:
                fates = ("lost", "kept", "random", "random")
                system.disk.restart(rng.choice(fates), rng.choice(fates), rng)  # type: ignore[arg-type]

        system.live(steps, cut, revive)
        return system.cuts


@contextmanager
def board(mode: Mode, disk: type[SimDisk] = SimDisk) -> Iterator[System]:
    """A board with an empty disk, gone at the end."""
    fast = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(dir=fast if fast.is_dir() else None))
    try:
        yield System(root / "store", mode, disk)
    finally:
        shutil.rmtree(root)
