"""A board at the end of a bad serial line."""

from __future__ import annotations

import random
from typing import Any

from bankai_edge.errors import BankaiError
from bankai_edge.host.client import Client
from bankai_edge.host.lines import ByteLine
from bankai_edge.host.serial_port import open_serial
from bankai_edge.host.transports import FramedTransport
from bankai_edge.model import Model
from support.faults import Faults, Spoiler, Tally, scattered
from support.firmware.board import Board, client_of


class BadLine:
    """A ByteLine that spoils bytes both ways."""

    def __init__(self, line: ByteLine, faults: Faults, seed: int, tally: Tally) -> None:
        chance = random.Random(seed)
        self._line = line
        self._there, self._back = (Spoiler(chance, faults, tally) for _ in range(2))

    def write(self, data: bytes) -> None:
        self._line.write(self._there.carry(data))

    def read(self, timeout_s: float) -> bytes:
        data = self._line.read(timeout_s)
        return self._back.carry(data) if data else data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._line, name)


def push_through_noise(board: Board, model: Model, pushes: int, rate: float = 0.005) -> Tally:
    """Push and activate while bytes are lost, doubled, flipped or late, `rate` of them in all.

    Whatever becomes of it: what the board says it has stored are the very bytes, and it is sound.
    """
    tally = Tally()
    for i in range(pushes):
        name = "ab"[i % 2]
        patch = scattered(model, name, i, flips=60)
        line: Any = BadLine(open_serial(board.path, 115200), Faults.all_at(rate), i, tally)
        done = False
        with Client(FramedTransport(line), timeout_s=0.15, tries=30) as client:
            tally.pushes += 1
            try:
                client.push(name, patch)
                client.activate([name])
                tally.succeeded += 1
                done = True
            except BankaiError:
                tally.said_no += 1
        with client_of(board) as judge:
            stored = judge.sha256(name)
            assert judge.has(name, patch) or not done
            assert judge.info()["active"] == [name] or not done
            assert stored is None or judge.verify()["ok"]
    return tally
