"""The C device over a store that is a dict, and a model that says its prompt.

As a program (`python tests/support/link_device.py [buf_size]`) it prints the path of a pty and
serves there until it is killed.
"""

from __future__ import annotations

import os
import pty
import sys
import tty
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bankai_edge._device import Device, DeviceError
from bankai_edge._link import RC, FrameReader, frame_encode
from bankai_edge.patch import Patch, decode, encode

if TYPE_CHECKING:
    from bankai_edge._device import Facts, Lent

MODEL_ID = bytes(range(32))
QUOTA = (1000, 1_000_000, 1 << 30)  # patches, bytes of one, of all


def bkp(name: str, size_bytes: int | None = None, *, model_id: bytes | None = MODEL_ID) -> bytes:
    """A patch of three rows for MemoryDevice's model, and as much provenance as its size wants."""
    patch = Patch(name=name, rows=((0, 3, 1), (0, 3, 5), (1, 3, 9)), model_id=model_id, crc=1)
    return padded(encode(patch), size_bytes or 0) if size_bytes else encode(patch)


def padded(patch: bytes, size_bytes: int) -> bytes:
    """The patch with a note in its provenance that makes it exactly that large."""
    plain = decode(patch, "p")
    n = size_bytes - len(encode(replace(plain, provenance={"note": ""})))
    for less in range(8):  # a longer note has a longer head
        if n >= less:
            grown = encode(replace(plain, provenance={"note": "x" * (n - less)}))
            if len(grown) == size_bytes:
                return grown
    raise ValueError(f"no patch of {size_bytes} bytes")


class MemoryStore:
    """`_device.StorePort` over a dict; `refusal` is what storing and recording fail with."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.upload: bytearray | None = None
        self.aborted = 0
        self.refusal: BaseException | None = None
        self._name = ""
        self._known: list[tuple[str, bytes]] = []
        self._active: list[int] = []
        self._previous: list[int] = []

    def _entry(self, name: str) -> tuple[str, int, int]:
        key = name, self.files[name]
        if key not in self._known:
            self._known.append(key)
        return name, self._known.index(key) + 1, len(key[1])

    def quota(self) -> tuple[int, int, int]:
        return QUOTA

    def at(self, index: int) -> tuple[str, int, int] | None:
        names = sorted(self.files)
        return self._entry(names[index]) if index < len(names) else None

    def find(self, name: str) -> tuple[str, int, int] | None:
        return self._entry(name) if name in self.files else None

    def by_id(self, ident: int) -> tuple[str, int, int] | None:
        if not 0 < ident <= len(self._known):
            return None
        name, data = self._known[ident - 1]
        return name, ident, len(data)

    def read(self, ident: int) -> bytes:
        return self._known[ident - 1][1]

    def sets(self) -> tuple[Sequence[int], Sequence[int], int]:
        return self._active, self._previous, 0

    def sequence(self, name: str) -> int | None:
        return None

    def begin(self, name: str, size_bytes: int) -> None:
        self._name, self.upload = name, bytearray()

    def append(self, chunk: bytes) -> None:
        assert self.upload is not None
        self.upload += chunk

    def abort(self) -> None:
        if self.upload is not None:
            self.upload = None
            self.aborted += 1

    def pending(self) -> bytes:
        assert self.upload is not None
        return bytes(self.upload)

    def commit(self, sequence: int | None) -> int:
        if self.refusal is not None:
            raise self.refusal
        name = self._name
        old = self._entry(name)[1] if name in self.files else 0
        self.files[name], self.upload = self.pending(), None
        ident = self._entry(name)[1]
        if old in self._active:
            self._previous = self._active
            self._active = [ident if i == old else i for i in self._active]
        return ident

    def use(self, ids: Sequence[int], gave_way: bool) -> None:
        if self.refusal is not None:
            raise self.refusal
        self._previous, self._active = self._active, list(ids)

    def remove(self, name: str, forget: bool) -> None:
        del self.files[name]

    def count_start(self) -> None:
        pass

    def settle(self) -> None:
        pass


class Parrot:
    """`_device.SessionPort`: any patch fits, and an answer is the prompt and a number."""

    model_id, model_name = MODEL_ID, "parrot"
    kernel, ctx, in_place = "parrot", 48, False
    room_bytes, answer_bytes = 4096, 1 << 16

    def __init__(self) -> None:
        self.text: str | None = None  # in the place of the prompt and the number
        self.step = 0  # characters of one step; 0: all at once
        self.broken: BaseException | None = None  # what reading the weights fails with
        self._left = ""
        self._steps = 0

    def check(self, patch: Lent) -> None:
        pass

    def use(self, patches: Sequence[Lent]) -> int:
        return 1234

    def weights(self) -> tuple[bytes, bool]:
        if self.broken is not None:
            raise self.broken
        return MODEL_ID, True

    def hold(self, on: bool) -> None:
        pass

    def begin(self, prompt: str, max_tokens: int, probe: bool) -> int:
        self._left = f"{prompt}42 ({max_tokens})" if self.text is None else self.text
        self._steps = 7
        return 1

    def poll(self, ticket: int, wait: bool, most: int) -> tuple[bytes, int, int, bool]:
        n = self.step or len(self._left)
        text, self._left = self._left[:n], self._left[n:]
        steps, self._steps = self._steps, 0
        return text.encode(), steps, 1500, not self._left

    def cancel(self, ticket: int) -> None:
        pass

    def bench(self) -> Facts:
        raise DeviceError(RC["NOT_SUPPORTED"])

    def logits(self, text: str) -> bytes:
        return MODEL_ID


class Desk:
    """`_device.HostPort`, and a TrustPort that knows nobody."""

    can_verify = False

    def __init__(self) -> None:
        self.resets = 0
        self.notes: list[str] = []
        self.told: Facts = {"board": "memory"}

    def log(self, sentence: str) -> None:
        self.notes.append(sentence)

    def reset(self) -> None:
        self.resets += 1

    def facts(self) -> Facts:
        return self.told

    def datetime(self) -> str:
        return "2026-11-23T17:00:38"

    def verify(self, public_key: bytes, signature: bytes, signed: bytes) -> bool:
        return False

    def look_up(self, public_key: bytes) -> int:
        return 0


class MemoryDevice:
    """All of it; what is there at the start need be no patches."""

    def __init__(self, buf_size: int = 1024, *, files: dict[str, bytes] | None = None) -> None:
        self.store = MemoryStore(files or {})
        self.session = Parrot()
        self.desk = Desk()
        self.core = Device(
            self.store, self.session, self.desk, self.desk, version="1.0", policy="open",
            probe_budget_s=1.5, buf_size=buf_size,
        )  # fmt: skip

    @property
    def files(self) -> dict[str, bytes]:
        """The stored bytes by name."""
        return self.store.files

    @property
    def active(self) -> list[str]:
        """The recorded set."""
        return [self.store._known[i - 1][0] for i in self.store.sets()[0]]

    def packet(self, packet: bytes) -> bytes:
        """The answer to one packet."""
        return self.core.packet(packet)


def serve(fd: int, buf_size: int) -> None:
    """Answer packets on `fd`, and lines of text as a shell would."""
    device, reader = MemoryDevice(buf_size), FrameReader(buf_size)
    while True:
        for kind, data in reader.feed(os.read(fd, 4096)):
            if kind == "packet":
                answer = device.packet(data)
                out = frame_encode(answer) if answer else b""
            else:
                out = b"you said " + data + b"\r\n"
            while out:
                out = out[os.write(fd, out) :]


if __name__ == "__main__":
    controller, port = pty.openpty()
    tty.setraw(port)
    print(os.ttyname(port), flush=True)
    serve(controller, int(sys.argv[1]) if len(sys.argv) > 1 else 1024)
