"""An agent that is killed at any moment, and one that works for long."""

from __future__ import annotations

import contextlib
import hashlib
import random
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from lives import PROMPT, VERSIONS, Ideal, Set, do, patch, random_step

from bankai_edge.agent.journal import Journal
from bankai_edge.errors import BankaiError, DeviceTimeoutError, NoDeviceError
from bankai_edge.host.address import Address
from bankai_edge.host.client import Client, RefusedError
from bankai_edge.host.transports import open_transport
from bankai_edge.model import Model, Session
from bankai_edge.shipped import NANO
from support.agents import COMMAND, HERE, Agent
from support.stores import peek

LONGEST_LIFE_S = 0.3
TOKENS = 3


def connect(place: Path) -> Client:
    return Client(open_transport(Address("unix", str(place))), timeout_s=20.0, tries=1)


def as_ideal(journal: Journal) -> Ideal:
    """What a journal says, in versions; a KeyError is a file that nobody pushed."""

    def version(sha256: str) -> str:
        return VERSIONS[sha256]

    return Ideal(
        tuple((name, version(stored.sha256)) for name, stored in sorted(journal.patches.items())),
        tuple(version(member.sha256) for member in journal.active),
        tuple(version(member.sha256) for member in journal.previous),
    )


class Load:
    """Steps, one after the other, and questions beside them, until the agent is gone."""

    def __init__(self, place: Path, state: Ideal, rng: random.Random) -> None:
        self.place, self.state, self.rng = place, state, rng
        self.allowed = {state}
        self.steps = 0
        self.failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._change, self._ask)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()
        if self.failure is not None:
            raise self.failure

    def _guarded(self, work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except (NoDeviceError, DeviceTimeoutError):
            pass  # killed
        except BaseException as error:
            self.failure = error

    def _change(self) -> None:
        with connect(self.place) as client:
            while True:
                step = random_step(self.rng)
                after = self.state.after(step)
                self.allowed = {self.state, after or self.state}
                try:
                    do(client, step)
                except (NoDeviceError, DeviceTimeoutError):
                    raise
                except BankaiError as error:
                    assert after is None, (step, self.state, error)
                else:
                    assert after is not None or step[0] in ("use", "off"), (step, self.state)
                    self.state = after or self.state
                self.allowed = {self.state}
                self.steps += 1

    def _ask(self) -> None:
        with connect(self.place) as client:
            while True:
                client.info()
                client.list()
                with contextlib.suppress(RefusedError):
                    "".join(client.generate(PROMPT, TOKENS))


@dataclass
class Kills:
    kills: int = 0
    at_start: int = 0
    steps: int = 0
    undone: int = 0  # kills in the middle of a step, which then had not happened
    done: int = 0  # or had

    def __str__(self) -> str:
        return (
            f"{self.kills} kills ({self.at_start} while starting) among {self.steps} steps; "
            f"{self.undone + self.done} within one: {self.done} done, {self.undone} not"
        )


def run_kills(root: Path, kills: int, seed: int = 0) -> Kills:
    """Kill -9 an agent under load at random times; after each, old state or new one, whole."""
    rng = random.Random(seed)
    store, place = root / "store", root / "s"
    count = Kills()
    state = Ideal()
    was_at_start = False
    while count.kills < kills:
        # Two starts in a row that do not end well are what makes a set give way.
        if rng.random() < 0.2 and not was_at_start:
            _kill_while_starting(store, place, rng)
            was_at_start = True
            count.at_start += 1
            allowed = {state}
        else:
            was_at_start = False
            with Agent(NANO, store, "--unix", place) as agent:
                load = Load(place, state, rng)
                time.sleep(rng.uniform(0, LONGEST_LIFE_S))
                agent.stop(signal.SIGKILL)
                load.join()
            count.steps += load.steps
            allowed = load.allowed
        count.kills += 1
        found = as_ideal(peek(store))
        assert found in allowed, (found, allowed)
        if len(allowed) == 2:
            count.done += found != load.state
            count.undone += found == load.state
        state = found
        if not was_at_start:
            _check(store, place, state)
    return count


def _kill_while_starting(store: Path, place: Path, rng: random.Random) -> None:
    words = [*COMMAND, "agent", "-m", str(NANO), "--store", str(store), "--unix", str(place)]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, cwd=HERE)
    time.sleep(rng.uniform(0.05, 0.5))
    process.kill()
    process.wait()


def _check(store: Path, place: Path, state: Ideal) -> None:
    """The next agent runs what is recorded: files, weights and answers."""
    with Agent(NANO, store, "--unix", place) as agent, connect(place) as client:
        assert "stays inactive" not in agent.log and "does not run" not in agent.log, agent.log
        assert client.info()["active"] == [version[0] for version in state.active]
        assert client.verify()["ok"] is True
        for name, version in state.stored:
            assert client.sha256(name) == hashlib.sha256(patch(version)).digest()
        assert sorted(p.name for p in client.list()) == [name for name, _ in state.stored]
        assert "".join(client.generate(PROMPT, TOKENS)) == answer(state.active)
        files = {path.name for path in (store / "patches").iterdir()}
        assert files == peek(store).files


def answer(members: Set) -> str:
    session = Session(Model(NANO))
    session.use([patch(version) for version in members])
    return "".join(session.generate(PROMPT, max_tokens=TOKENS))


@dataclass(frozen=True)
class Footprint:
    """What a process and its store hold."""

    memory_bytes: int
    handles: int
    threads: int
    store_files: int
    store_bytes: int


def footprint(agent: Agent, store: Path) -> Footprint:
    time.sleep(0.2)  # a connection's thread ends a moment after the connection
    status = Path(f"/proc/{agent.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    files = [path for path in store.rglob("*") if path.is_file()]
    return Footprint(
        memory_bytes=int(fields["VmRSS"].split()[0]) * 1024,
        handles=sum(1 for _ in Path(f"/proc/{agent.pid}/fd").iterdir()),
        threads=int(fields["Threads"]),
        store_files=len(files),
        store_bytes=sum(path.stat().st_size for path in files),
    )


def run_cycles(root: Path, cycles: int, mode: str = "overlay") -> tuple[Footprint, Footprint]:
    """Push, use, ask and off, again and again; what is held after a tenth of it, and at the end."""
    store, place = root / "store", root / "s"
    early: Footprint | None = None
    with Agent(NANO, store, "--unix", place, "--mode", mode) as agent:
        for cycle in range(cycles):
            version = ("a1", "a2")[cycle % 2]
            with connect(place) as client:
                client.push("a", patch(version))
                client.activate(["a"])
                if cycle % 10 == 0:
                    "".join(client.generate(PROMPT, 1))
                client.deactivate()
            if cycle + 1 == max(1, cycles // 10):
                early = footprint(agent, store)
        assert early is not None
        return early, footprint(agent, store)


def check_growth(early: Footprint, late: Footprint) -> None:
    """Nothing has grown but a number's digits; memory has by less than its noise."""
    assert late.handles == early.handles
    assert late.threads == early.threads
    assert late.store_files == early.store_files
    assert abs(late.store_bytes - early.store_bytes) < 16  # a generation's digits
    assert late.memory_bytes - early.memory_bytes < 256 << 10
