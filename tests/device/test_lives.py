"""Random lives: after every step the device is what the ideal store is, power cuts or not."""

from __future__ import annotations

import hashlib
import random
import time
from functools import cache
from typing import Any

import pytest
from lives import PROMPT, VERSIONS, Ideal, Set, Step, do, model, patch, random_step

from bankai_edge._device import DeviceError
from bankai_edge.model import Session
from support.direct import FS, READ, Direct
from support.ports import OnLine, Port, Running
from support.ports.table import on

CUTS = 0.4  # of the steps


@cache
def digest(members: Set) -> str:
    """What `logits PROMPT` says with these versions active, by a session of its own."""
    session = Session(model(), ctx=48)
    session.use([patch(version) for version in members])
    tokens = session.model.tokenizer.encode(PROMPT)
    return hashlib.sha256(session.logits(tokens).tobytes()).hexdigest()


def look(device: Direct, running: Running) -> tuple[tuple[tuple[str, str], ...], Set]:
    """The versions that are stored, and those that are active, by the bits that are computed."""
    stored = []
    listed = device.list()
    for name, size, _ in listed:
        sha = device.request(READ, FS, 2, {"name": f"/bkp/{name}.bkp"})["output"]
        stored.append((name, VERSIONS[sha.hex()]))
        assert size == len(patch(stored[-1][1]))
    names = device.info()["active"]
    assert {name for name, _, active in listed if active} == set(names)
    active = tuple(dict(stored)[name] for name in names)
    said = running.shell(f"logits {PROMPT}").strip()
    assert said == digest(active), (active, said)
    return tuple(stored), active


def attempt(device: Direct, step: Step, state: Ideal) -> Ideal:
    """One step: what it is to lead to, or a refusal where that is right."""
    after = state.after(step)
    try:
        do(device, step)  # type: ignore[arg-type]
    except DeviceError as error:
        assert after is None, (step, error, state)
        return state
    assert after is not None or step[0] in ("use", "off"), (step, state)
    return after or state


@on()
@pytest.mark.parametrize("seed", [1])
def test_a_random_life(port: Port, device: Direct, running: Running, seed: int) -> None:
    chance = random.Random(seed)
    state = Ideal()
    for _ in range(port.steps):
        step = random_step(chance)
        state = attempt(device, step, state)
        assert look(device, running) == (state.stored, state.active), step
    assert "warnings" not in device.info() and device.verify()["ok"] is True


class Cutting:
    """Answers packets until one of them meets with a power cut."""

    def __init__(self, running: Any, packets: int, after_s: float) -> None:
        self._running = running
        self._left = packets
        self._after_s = after_s

    def packet(self, packet: bytes, /) -> bytes:
        self._left -= 1
        if self._left >= 0:
            answer = self._running.packet(packet)
            assert isinstance(answer, bytes)
            return answer
        self._running.send(packet)
        time.sleep(self._after_s)
        self._running.power_cut()
        raise InterruptedError


@on("keeps")
def test_a_life_with_power_cuts_between_its_steps(
    port: Port, device: Direct, running: Running
) -> None:
    chance = random.Random(2)
    state = Ideal()
    for _ in range(port.steps // 2):
        state = attempt(device, random_step(chance), state)
        if chance.random() < CUTS:
            running.power_cut()
        assert look(device, running) == (state.stored, state.active)
    assert device.verify()["ok"] is True


@on("keeps", "line")
def test_a_life_with_power_cuts_amid_its_steps(port: Port, device: Direct, running: OnLine) -> None:
    """Each step has happened, or it has not: its requests, the last of them unanswered."""
    chance = random.Random(3)
    state = Ideal()
    for _ in range(port.steps // 2):
        step = random_step(chance)
        after = state.after(step) or state
        seen = (after.stored, after.active) != (state.stored, state.active)
        if chance.random() >= CUTS or not (seen or after == state):
            state = attempt(device, step, state)
            continue
        packets = chance.randrange(1 + (len(patch(step[1])) // 200 if step[0] == "push" else 0))
        cutting = Direct(Cutting(running, packets, chance.random() * 0.05), chunk_bytes=200)
        with pytest.raises(InterruptedError):
            do(cutting, step)  # type: ignore[arg-type]
        found = look(device, running)
        assert found in [(s.stored, s.active) for s in (state, after)], step
        state = after if found == (after.stored, after.active) else state
    assert device.verify()["ok"] is True
