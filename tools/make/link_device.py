"""A device with an in-memory store behind the core's SMP server, on a pty when run as a program.

`python tools/make/link_device.py [buf_size]` prints the pty's path and serves until it is
killed.
"""

from __future__ import annotations

import os
import pty
import sys
import tty
from collections.abc import Sequence
from dataclasses import dataclass, field

from bankai_edge._link import RC, DeviceError, FrameReader, SmpServer, frame_encode

MODEL_ID = bytes(range(32))


@dataclass
class MemoryDevice:
    """Keeps files in a dict; refuses content that starts with b"WRONG"."""

    files: dict[str, bytes] = field(default_factory=dict)
    active: list[str] = field(default_factory=list)
    previous: list[str] | None = None
    upload: bytearray | None = None
    aborted: int = 0
    resets: int = 0
    answer: bytes = b""

    def upload_begin(self, name: str, total: int) -> None:
        if total > 1_000_000:
            raise DeviceError(RC["TOO_LARGE"], f"{total} bytes, at most 1000000")
        self.upload = bytearray()

    def upload_write(self, name: str, off: int, data: bytes) -> None:
        assert self.upload is not None and off == len(self.upload)
        self.upload += data

    def upload_finish(self, name: str) -> None:
        assert self.upload is not None
        if self.upload.startswith(b"WRONG"):
            raise DeviceError(RC["WRONG_MODEL"], "for model 0bad, this is 0900d")
        self.files[name], self.upload = bytes(self.upload), None

    def upload_abort(self, name: str) -> None:
        self.upload = None
        self.aborted += 1

    def _file(self, name: str) -> bytes:
        if name not in self.files:
            raise DeviceError(RC["NO_SUCH_PATCH"])
        return self.files[name]

    def file_size(self, name: str) -> int:
        return len(self._file(name))

    def file_read(self, name: str, off: int, n: int) -> bytes:
        return self._file(name)[off : off + n]

    def list(self) -> list[tuple[str, int, bool]]:
        return [(n, len(self.files[n]), n in self.active) for n in sorted(self.files)]

    def activate(self, names: Sequence[str]) -> int:
        for name in names:
            self._file(name)
        self.previous, self.active = self.active, list(names)
        return 1234

    def deactivate(self, names: Sequence[str]) -> int:
        return self.activate([n for n in self.active if names and n not in names])

    def remove(self, name: str) -> None:
        self._file(name)
        if name in self.active:
            raise DeviceError(RC["ACTIVE"])
        del self.files[name]

    def rollback(self) -> int:
        if self.previous is None:
            raise DeviceError(RC["NO_PREVIOUS"])
        return self.activate(self.previous)

    def verify(self) -> dict[str, bool | int | bytes]:
        return {"ok": True, "weights": MODEL_ID, "checked": 3}

    def generate(self, prompt: str, max_tokens: int) -> None:
        self.answer = f"{prompt}42 ({max_tokens})".encode()

    def output(self, off: int) -> tuple[bytes, bool, int, int]:
        return self.answer[off:], True, 7, 1500

    def info(self) -> dict[str, bool | int | str | bytes | Sequence[str]]:
        return {"board": "memory", "model_id": MODEL_ID, "active": self.active, "uptime_ms": 5}

    def datetime(self) -> str:
        return "2026-11-23T17:00:38"

    def reset(self) -> None:
        self.resets += 1


def serve(fd: int, buf_size: int) -> None:
    """Answer packets on `fd`, and lines of text as a shell would."""
    server, reader = SmpServer(MemoryDevice(), buf_size), FrameReader(buf_size)
    while True:
        for kind, data in reader.feed(os.read(fd, 4096)):
            if kind == "packet":
                answer = server.handle(data)
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
