"""A board and a Linux agent that get the same packets: their answers have to be the same.

What a device measures or is (times, texts about itself, its buffers) may differ; which keys an
answer has, every rc, every name and every sentence of an error may not.
"""

from __future__ import annotations

import random
import re
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2
from bankai_edge.agent.gate import Gate

from bankai_edge import _patch
from bankai_edge._link import BK_GROUP, SmpServer
from bankai_edge.agent.device import AgentDevice
from bankai_edge.agent.store import Store
from bankai_edge.model import Model, Session
from bankai_edge.patch import Patch, decode, encode
from support.agents import make_patch
from support.faults import scattered
from support.firmware.board import Board, Wire

READ, WRITE = 0, 2
FS = 8
# Values that are a device's own, wherever they stand; what cannot be compared at all.
OWN = {"ns", "us", "uptime_ms", "board", "kernel", "version", "buf_size", "buf_count", "output"}
OWN |= {"weights_sha256"}  # of weights in the layout of a kernel
FIRMWARE_ALONE = {(0, 4), (BK_GROUP, 9)}  # no clock on a chip; each has its own figures


class Twin:
    """Asks both, and compares."""

    def __init__(
        self,
        board: Board,
        model: Model,
        root: Path,
        *,
        in_place: bool = False,
        ctx: int = 48,
        gate: Gate | None = None,
    ) -> None:
        self.board = board
        self.session = Session(model, ctx=ctx, mode="in-place" if in_place else "overlay")
        self.device = AgentDevice(
            model,
            self.session,
            Store(root),
            mode="in-place" if in_place else "overlay",
            ctx=ctx,
            gate=gate,
            log=lambda _: None,
            on_reset=lambda: None,
        )
        self.server = SmpServer(self.device, 1024)
        self.wire = Wire(board)
        self.asked = 0

    def close(self) -> None:
        self.wire.close()
        self.device.close()

    def same(self, packet: bytes, what: str = "", *, silent: bool = False) -> Any:
        """Both answers' body, when they are alike; None for silence."""
        self.asked += 1
        agents = self.server.handle(packet)
        boards = self.wire.ask(packet, 0.3 if silent or not agents else 30)
        if not agents or not boards:
            assert agents == boards == b"", what
            return None
        assert boards[:2] + boards[4:8] == agents[:2] + agents[4:8], what
        told, expected = cbor2.loads(boards[8:]), cbor2.loads(agents[8:])
        command = int.from_bytes(packet[4:6], "big"), packet[7]
        if command == (BK_GROUP, 8):
            assert told.keys() == expected.keys(), what  # how far it is depends on the time
        elif command not in FIRMWARE_ALONE:
            assert without_own(told) == without_own(expected), f"{what}: {told}, {expected}"
        return told

    def replay(self, vectors: dict[str, Any]) -> None:
        """A recorded conversation's requests."""
        for exchange in vectors["exchanges"]:
            packet = bytes.fromhex(exchange["request"])
            if len(packet) > vectors["buf_size"]:
                assert self.wire.ask(packet, 0.3) == b"", exchange["what"]  # beyond its buf_size
            else:
                self.same(packet, exchange["what"], silent=not exchange["answer"])

    def ask(self, op: int, group: int, command: int, body: dict[str, Any], what: str = "") -> Any:
        """One request to both."""
        packet = self._packet(op, group, command, body)
        return self.same(packet, what or f"{group:x} {command} {body}"[:200])

    def tell(self, op: int, group: int, command: int, body: dict[str, Any]) -> Any:
        """One request to the board alone."""
        return cbor2.loads(self.wire.ask(self._packet(op, group, command, body))[8:])

    def _packet(self, op: int, group: int, command: int, body: dict[str, Any]) -> bytes:
        payload = cbor2.dumps(body)
        sequence = self.asked & 255
        return struct.pack("!BBHHBB", op | 8, 0, len(payload), group, sequence, command) + payload

    def push(self, name: str, data: bytes, size: int = 200) -> Any:
        """Upload a file in chunks; the last answer."""
        path, answer = f"/bkp/{name}.bkp", None
        for at in range(0, len(data), size):
            body = {"name": path, "off": at, "data": data[at : at + size], "detail": True}
            answer = self.ask(WRITE, FS, 0, body | ({"len": len(data)} if at == 0 else {}))
            if "err" in answer:
                break
        return answer

    def generated(self) -> str:
        """Wait for both answers to the last prompt, and compare them."""
        texts = []
        for ask in (self.server.handle, self.wire.ask):
            off, done, text = 0, False, b""
            while not done:
                payload = cbor2.dumps({"off": off})
                header = struct.pack("!BBHHBB", 8, 0, len(payload), BK_GROUP, 0, 8)
                answer = cbor2.loads(ask(header + payload)[8:])
                text, done = text + answer["data"], answer["done"]
                off = len(text)
                time.sleep(0.002)
            texts.append((text.decode(), answer["tokens"]))
        assert texts[0] == texts[1]
        return texts[0][0]


def without_own(value: Any) -> Any:
    """An answer without the values that are a device's own."""
    if isinstance(value, dict):
        known = {k: v for k, v in value.items() if k not in ("kernel", "warnings")}
        return {k: type(v) if k in OWN else without_own(v) for k, v in known.items()}
    if isinstance(value, str):
        value = re.sub(r"at most \d+", "at most so many", value)
        # a chip does not know its keys by name
        value = re.sub(r"fit the key \S+", "fit its key", value)
        return re.sub(r"by (\S+, whose key|\S+, whom) ", "by a key that ", value)
    if isinstance(value, list):
        return [without_own(item) for item in value]
    return value


def bound(model: Model, patch: Patch) -> bytes:
    """A patch with the model's id and the CRC of its rows; .bkp bytes."""
    crc = _patch.row_crc(model.core, encode(replace(patch, model_id=None, crc=None)))
    return encode(replace(patch, model_id=model.id, crc=crc))


def versions(model: Model, names: Sequence[str]) -> dict[str, list[bytes]]:
    """Three patches of each name: rows, scattered bits, and both with groups."""
    made: dict[str, list[bytes]] = {}
    for i, name in enumerate(names):
        rows = make_patch(model, name, range(i, 90 + i, 3 + i), layer=i % 2)
        bits = scattered(model, name, f"{name}{i}", flips=60)
        groups = tuple((1, 6, row, row % 6) for row in range(i, 40, 7))
        mixed = bound(model, replace(decode(bits, name), groups=groups, rows=((2, 0, 5 + i),)))
        made[name] = [rows, bits, mixed]
    return made


Step = Callable[[], Any]


def wander(twin: Twin, model: Model, steps: int, seed: int) -> dict[str, int]:
    """A random life of three names; after each step both must tell the same state."""
    chance = random.Random(seed)
    names = ["a", "b", "c"]
    files = versions(model, names)
    done: dict[str, int] = {}

    def some(most: int = 3) -> list[str]:
        return chance.sample(names, chance.randint(0, most))

    moves: dict[str, Step] = {
        "push": lambda: twin.push((name := chance.choice(names)), chance.choice(files[name])),
        "use": lambda: twin.ask(WRITE, BK_GROUP, 2, {"names": some()}),
        "off": lambda: twin.ask(WRITE, BK_GROUP, 3, {"names": some(1)}),
        "rollback": lambda: twin.ask(WRITE, BK_GROUP, 5, {}),
        "remove": lambda: twin.ask(WRITE, BK_GROUP, 4, {"name": chance.choice(names)}),
        "hash": lambda: twin.ask(READ, FS, 2, {"name": f"/bkp/{chance.choice(names)}.bkp"}),
        "ask": lambda: (
            twin.ask(WRITE, BK_GROUP, 7, {"prompt": "17+25=", "max_tokens": 3}),
            twin.generated(),
        ),
    }
    for _ in range(steps):
        move = chance.choice(list(moves))
        moves[move]()
        done[move] = done.get(move, 0) + 1
        twin.ask(READ, BK_GROUP, 1, {})
        info = twin.ask(READ, BK_GROUP, 0, {})
        assert "warnings" not in info, info
    verify = twin.ask(READ, BK_GROUP, 6, {})
    assert verify["ok"] is True
    return done
