"""A device's commands as methods, without a line between: packets as docs/protocol.md has them."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from typing import Any, Protocol

import cbor2

from bankai_edge._device import DeviceError
from bankai_edge._link import BK_GROUP

HEADER = struct.Struct(">BBHHBB")  # op and version, flags, length, group, sequence, command
READ, WRITE = 0, 2
SMP_V2 = 1 << 3
OS, FS = 0, 8
CHUNK_BYTES = 512


class Packets(Protocol):
    """Whatever answers a packet: an AgentDevice, a `_device.Device`, a line to another process."""

    def packet(self, packet: bytes, /) -> bytes:
        """The answer to one packet; b"" is silence."""


class RequestError(Exception):
    """SMP itself refused the request: malformed, not there."""

    def __init__(self, rc: int) -> None:
        self.rc = rc
        super().__init__(f"SMP rc {rc}")


class Direct:
    """Commands to a device; what it refuses raises DeviceError with the rc and the sentence."""

    def __init__(self, device: Packets, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.device = device
        self._chunk_bytes = chunk_bytes
        self._sequence = itertools.count()

    def request(self, op: int, group: int, command: int, body: dict[str, Any]) -> dict[str, Any]:
        """One command's answer; raises DeviceError or RequestError."""
        payload = cbor2.dumps(body)
        sequence = next(self._sequence) % 256
        head = HEADER.pack(op | SMP_V2, 0, len(payload), group, sequence, command)
        packet = self.device.packet(head + payload)
        assert packet[:1] == bytes([op + 1 | SMP_V2]) and packet[6] == sequence, packet.hex()
        answer = cbor2.loads(packet[HEADER.size :])
        assert isinstance(answer, dict)
        if "rc" in answer:
            raise RequestError(answer["rc"])
        if "err" in answer:
            assert answer["err"]["group"] == BK_GROUP, answer
            raise DeviceError(answer["err"]["rc"], answer.get("detail", ""))
        return answer

    def push(self, name: str, data: bytes) -> None:
        """Store a file."""
        off = 0
        while off < len(data):
            body: dict[str, Any] = {"name": f"/bkp/{name}.bkp", "off": off, "detail": True}
            body |= {"data": data[off : off + self._chunk_bytes]}
            answer = self.request(WRITE, FS, 0, body if off else body | {"len": len(data)})
            assert answer["off"] > off, f"the upload stands still at {off}"
            off = answer["off"]

    def read(self, name: str) -> bytes:
        """A stored file's bytes."""
        data = b""
        size = 1
        while len(data) < size:
            body = {"name": f"/bkp/{name}.bkp", "off": len(data), "detail": True}
            answer = self.request(READ, FS, 0, body)
            size = answer.get("len", size)
            data += answer["data"]
        return data

    def activate(self, names: Sequence[str]) -> int:
        """Make exactly this set active; returns the nanoseconds."""
        return int(self.request(WRITE, BK_GROUP, 2, {"names": list(names)})["ns"])

    def deactivate(self, names: Sequence[str] = ()) -> int:
        """Take these, or all, out of the active set; returns the nanoseconds."""
        return int(self.request(WRITE, BK_GROUP, 3, {"names": list(names)})["ns"])

    def rollback(self) -> int:
        """Back to the previous set; returns the nanoseconds."""
        return int(self.request(WRITE, BK_GROUP, 5, {})["ns"])

    def remove(self, name: str) -> None:
        """Delete a stored patch."""
        self.request(WRITE, BK_GROUP, 4, {"name": name})

    def list(self) -> list[tuple[str, int, bool]]:
        """Every stored patch: name, bytes, active."""
        found: list[tuple[str, int, bool]] = []
        start: int | None = 0
        while start is not None:
            answer = self.request(READ, BK_GROUP, 1, {"from": start})
            found += [
                (entry["name"], entry["size"], entry["active"]) for entry in answer["patches"]
            ]
            start = answer.get("next")
        return found

    def info(self) -> dict[str, Any]:
        """What the device is and runs."""
        return self.request(READ, BK_GROUP, 0, {})

    def verify(self) -> dict[str, Any]:
        """The device's check of weights and patches."""
        return self.request(READ, BK_GROUP, 6, {})

    def bench(self) -> dict[str, Any]:
        """The device's own measurement."""
        return self.request(WRITE, BK_GROUP, 9, {})

    def generate(self, prompt: str, max_tokens: int = 64) -> None:
        """Start an answer."""
        self.request(WRITE, BK_GROUP, 7, {"prompt": prompt, "max_tokens": max_tokens})

    def output(self, off: int = 0) -> tuple[bytes, bool, int, int]:
        """(text from an offset on, done, tokens, microseconds) of the answer as it grows."""
        answer = self.request(READ, BK_GROUP, 8, {"off": off})
        return answer["data"], answer["done"], answer["tokens"], answer["us"]
