"""Write tests/vectors/*.json: what an SMP server answers, byte by byte.

    python tools/make/vectors.py

framing.json holds streams of serial bytes and what is to be found in them. Each other file is one
conversation with a device that starts with an empty store; its requests are sent
in order, and every answer has to be the one recorded. tests/link/test_link_vectors.py replays
them against the core's server, and a firmware can be held against the same files. The device behind
the recorded answers is tools/make/link_device.py: it takes any bytes for a patch but those that
begin with WRONG, and answers fixed values where a real one would measure. An exchange whose answer
depends on such values is marked "device": its keys are fixed, its values are not.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
from link_device import MemoryDevice

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests/vectors"
BUF_SIZE = 1024
READ, WRITE = 0, 2
OS, FS, ENUM, BK = 0, 8, 10, 0x424B
DATA = bytes(i * 7 % 256 for i in range(600))
SHA = hashlib.sha256(DATA).digest()
A, B = "/bkp/a.bkp", "/bkp/b.bkp"

Step = tuple[str, bytes, bool]  # what it shows, the request, whether its values are the device's


class Requests:
    """Builds packets with sequence numbers that count up."""

    def __init__(self) -> None:
        self._sequence = 0

    def __call__(
        self,
        op: int,
        group: int,
        command: int,
        body: dict[str, Any] | bytes | None = None,
        *,
        version: int = 1,
        sequence: int | None = None,
    ) -> bytes:
        """One packet; `body` as a map or as bytes."""
        payload = body if isinstance(body, bytes) else cbor2.dumps(body or {})
        number = self._sequence if sequence is None else sequence
        self._sequence = (self._sequence + 1) % 256
        return (
            struct.pack("!BBHHBB", op | version << 3, 0, len(payload), group, number, command)
            + payload
        )


def chunk(name: str, off: int, data: bytes, **first: Any) -> dict[str, Any]:
    """An upload's body."""
    return {"name": name, "off": off, **first, "data": data}


def os_group(r: Requests) -> Iterator[Step]:
    """Echo, date and time, parameters, information, reset."""
    yield "echo", r(WRITE, OS, 0, {"d": "hello"}), False
    yield "echo, read", r(READ, OS, 0, {"d": "grüß dich"}), False
    yield "echo of nothing", r(WRITE, OS, 0, {"d": ""}), False
    yield "echo without d", r(WRITE, OS, 0), False
    yield "date and time", r(READ, OS, 4), True
    yield "the date is not to be set", r(WRITE, OS, 4, {"datetime": "2000-01-01T00:00:00"}), False
    yield "parameters", r(READ, OS, 6), True
    yield "application info", r(READ, OS, 7, {"format": "a"}), True
    yield "reset", r(WRITE, OS, 5), False


def enumeration(r: Requests) -> Iterator[Step]:
    """Group 10, as stock tools ask it."""
    yield "count", r(READ, ENUM, 0), False
    yield "all", r(READ, ENUM, 1), False
    for index in range(4):
        yield f"group at index {index}", r(READ, ENUM, 2, {"index": index}), False
    yield "no index is the first", r(READ, ENUM, 2), False
    yield "index too large", r(READ, ENUM, 2, {"index": 4}), False
    yield "index too large, v1", r(READ, ENUM, 2, {"index": 4}, version=0), False
    yield "details of all", r(READ, ENUM, 3), False
    yield "details of two", r(READ, ENUM, 3, {"groups": [FS, BK]}), False
    yield "details of none that is here", r(READ, ENUM, 3, {"groups": [1, 99]}), False


def upload(r: Requests) -> Iterator[Step]:
    """A file in chunks, with everything that a bad line does to it, then read back."""
    first = chunk(A, 0, DATA[:200], len=600)
    yield "an upload that does not begin at 0", r(WRITE, FS, 0, chunk(A, 5, b"x")), False
    yield "first chunk", r(WRITE, FS, 0, first), False
    yield "second chunk", r(WRITE, FS, 0, chunk(A, 200, DATA[200:400])), False
    yield "second chunk again: dropped", r(WRITE, FS, 0, chunk(A, 200, DATA[200:400])), False
    yield "a chunk from beyond: dropped", r(WRITE, FS, 0, chunk(A, 500, DATA[500:])), False
    yield "a chunk that overlaps: dropped", r(WRITE, FS, 0, chunk(A, 300, DATA[300:])), False
    yield "more bytes than announced", r(WRITE, FS, 0, chunk(A, 400, bytes(300))), False
    yield "last chunk", r(WRITE, FS, 0, chunk(A, 400, DATA[400:])), False
    yield "last chunk again", r(WRITE, FS, 0, chunk(A, 400, DATA[400:])), False
    yield "status", r(READ, FS, 1, {"name": A}), False
    yield "sha256 is the default", r(READ, FS, 2, {"name": A}), False
    yield "sha256", r(READ, FS, 2, {"name": A, "type": "sha256"}), False
    yield (
        "crc32 of a part",
        r(READ, FS, 2, {"name": A, "type": "crc32", "off": 9, "len": 90}),
        False,
    )
    yield "another hash", r(READ, FS, 2, {"name": A, "type": "md5"}), False
    yield "hash types", r(READ, FS, 3), False
    yield "download", r(READ, FS, 0, {"name": A, "off": 0}), False
    yield "download, the rest", r(READ, FS, 0, {"name": A, "off": 590}), False
    yield "download, the end", r(READ, FS, 0, {"name": A, "off": 600}), False
    yield "download beyond the end", r(READ, FS, 0, {"name": A, "off": 601}), False
    yield "start over with a stock client's chunk", r(WRITE, FS, 0, first), False
    yield "close", r(WRITE, FS, 4), False
    yield "the chunk after a close", r(WRITE, FS, 0, chunk(A, 200, DATA[200:400])), False


def resume(r: Requests) -> Iterator[Step]:
    """Uploads that announce their hash: they resume, and are held against it."""
    first = chunk(A, 0, DATA[:200], len=600, sha=SHA, detail=True)
    yield "first chunk", r(WRITE, FS, 0, first), False
    yield "second chunk", r(WRITE, FS, 0, chunk(A, 200, DATA[200:400])), False
    yield "after a cut the first chunk again: on from 400", r(WRITE, FS, 0, first), False
    yield (
        "another's upload meanwhile: BUSY",
        r(WRITE, FS, 0, chunk(B, 0, b"b", len=9, sha=bytes(32), detail=True)),
        False,
    )
    yield "the same, a stock client's", r(WRITE, FS, 0, chunk(B, 0, b"b", len=9)), False
    yield "last chunk", r(WRITE, FS, 0, chunk(A, 400, DATA[400:])), False
    yield (
        "bytes that do not have the hash",
        r(WRITE, FS, 0, chunk(B, 0, b"b", len=1, sha=bytes(32), detail=True)),
        False,
    )
    yield "a hash of the wrong length", r(WRITE, FS, 0, chunk(B, 0, b"b", len=1, sha=b"x")), False
    yield "nothing of it was stored", r(READ, FS, 1, {"name": B}), False


def refusals(r: Requests) -> Iterator[Step]:
    """Files that are refused, in the file group's numbers and in ours."""
    wrong = b"WRONG" * 20
    bad = ["a.bkp", "/bkp/../a.bkp", "/bkp/A.bkp", "/bkp/.bkp", "/bkp/" + "a" * 33 + ".bkp"]
    for path in bad:
        yield f"path {path}", r(WRITE, FS, 0, chunk(path, 0, b"x", len=1)), False
        yield (
            f"path {path}, detail",
            r(WRITE, FS, 0, chunk(path, 0, b"x", len=1, detail=True)),
            False,
        )
    yield "no such file", r(READ, FS, 1, {"name": A}), False
    yield "no such file, detail", r(READ, FS, 1, {"name": A, "detail": True}), False
    yield "no such file, v1", r(READ, FS, 1, {"name": A}, version=0), False
    yield "an empty file", r(WRITE, FS, 0, chunk(A, 0, b"", len=0)), False
    yield "no len", r(WRITE, FS, 0, chunk(A, 0, b"x")), False
    yield "no data", r(WRITE, FS, 0, {"name": A, "off": 0, "len": 1}), False
    yield "off is text", r(WRITE, FS, 0, {"name": A, "off": "0", "len": 1, "data": b"x"}), False
    yield "too large", r(WRITE, FS, 0, chunk(A, 0, b"x", len=2**32 - 1, detail=True)), True
    yield "for another model", r(WRITE, FS, 0, chunk(A, 0, wrong, len=100, detail=True)), True
    yield "again", r(WRITE, FS, 0, chunk(A, 0, wrong, len=100)), False


def patches(r: Requests) -> Iterator[Step]:
    """Group 0x424B."""
    yield "info", r(READ, BK, 0), True
    yield "an empty list", r(READ, BK, 1), False
    yield "store a", r(WRITE, FS, 0, chunk(A, 0, b"aaa", len=3)), False
    yield "store b", r(WRITE, FS, 0, chunk(B, 0, b"bb", len=2)), False
    yield "activate a, b", r(WRITE, BK, 2, {"names": ["a", "b"]}), True
    yield "activate what is not there", r(WRITE, BK, 2, {"names": ["a", "c"]}), False
    yield "list", r(READ, BK, 1), False
    yield "list from 1", r(READ, BK, 1, {"from": 1}), False
    yield "remove an active one", r(WRITE, BK, 4, {"name": "a"}), False
    yield "deactivate a", r(WRITE, BK, 3, {"names": ["a"]}), True
    yield "remove a", r(WRITE, BK, 4, {"name": "a"}), False
    yield "remove it again", r(WRITE, BK, 4, {"name": "a"}), False
    yield "off", r(WRITE, BK, 3), True
    yield "rollback", r(WRITE, BK, 5), True
    yield "verify", r(READ, BK, 6), True
    yield "verify, write", r(WRITE, BK, 6), True
    for names in (None, "a", [1], ["a", "a"], ["A"], [""], [f"p{i}" for i in range(9)]):
        body = {} if names is None else {"names": names}
        yield f"names {names}", r(WRITE, BK, 2, body), False
    yield "generate", r(WRITE, BK, 7, {"prompt": "17+25=", "max_tokens": 5}), False
    yield "output", r(READ, BK, 8), True
    yield "output, from 4", r(READ, BK, 8, {"off": 4}), True
    yield "generate nothing", r(WRITE, BK, 7, {"prompt": ""}), False
    yield "generate no tokens", r(WRITE, BK, 7, {"prompt": "x", "max_tokens": 0}), False
    yield "no such patch, v1", r(WRITE, BK, 4, {"name": "none"}, version=0), False


def framing_of_smp(r: Requests) -> Iterator[Step]:
    """Headers and bodies that are wrong, odd or from a hostile hand."""
    echo = {"d": "x"}
    for sequence in (255, 0, 0, 7):
        yield f"sequence {sequence}", r(WRITE, OS, 0, echo, sequence=sequence), False
    yield "version 1", r(WRITE, OS, 0, echo, version=0), False
    yield "version 3", r(WRITE, OS, 0, echo, version=2), False
    yield "an answer: silence", r(3, OS, 0, echo), False
    yield "seven bytes: silence", r(WRITE, OS, 0, echo)[:7], False
    yield "no such group", r(READ, 99, 0), False
    yield "no such command", r(READ, BK, 99), False
    yield "a command's other operation", r(READ, BK, 2, {"names": []}), False
    yield "no body", r(READ, OS, 6, b""), True
    yield "a body that is cut", r(WRITE, OS, 0, echo)[:-1], False
    yield "bytes behind the body are ignored", r(WRITE, OS, 0, echo) + b"??", False
    for body in (b"\xa1", b"\xa1ada", b"\x81\x00", b"\xa1adaxff", b"\xa1ad\x7fax\xff", b"\xff"):
        yield f"malformed: {body.hex()}", r(WRITE, OS, 0, body), False
    yield "an endless map", r(WRITE, OS, 0, b"\xbf\x61d\x61x\xff"), False
    yield "unknown keys", r(WRITE, OS, 0, {"a": [1, {"b": None}], "d": "x", "z": 1.5}), False
    yield "nested too deep", r(WRITE, OS, 0, b"\xa2\x61x" + b"\x81" * 9 + b"\x00\x61d\x61x"), False
    yield "a length that lies", r(WRITE, OS, 0, b"\xa1\x61d\x7b" + b"\xff" * 8), False
    yield "an answer that does not fit", r(WRITE, OS, 0, {"d": "x" * 1100}), True


def streams() -> list[tuple[str, bytes]]:
    """Serial streams: whole, cut, damaged and mixed frames."""
    from bankai_edge._link import frame_encode

    r = Requests()
    small, large = r(WRITE, OS, 0, {"d": "hi"}), r(WRITE, OS, 0, {"d": "x" * 200})
    frame, lines = frame_encode(small), frame_encode(large).splitlines(keepends=True)
    flipped = bytearray(frame)
    flipped[9] ^= 1
    return [
        ("one packet", frame),
        ("two packets", frame + frame),
        ("a packet in several lines", b"".join(lines)),
        ("in lines of 20 bytes", frame_encode(large, 20)),
        ("ended by CR LF", frame.replace(b"\n", b"\r\n")),
        ("text before and behind", b"help\n" + frame + b"list\r\n"),
        ("a log line between a packet's lines", lines[0] + b"[1] log\n" + b"".join(lines[1:])),
        ("a packet inside a half-typed line", b"use ar" + frame + b"ith\n"),
        ("a flipped bit", bytes(flipped) + frame),
        ("a byte too few", frame[:8] + frame[9:] + frame),
        ("a byte twice", frame[:9] + frame[8:] + frame),
        ("cut short, then the next", frame[:12] + frame),
        ("the newline lost", frame[:-1] + frame + frame),
        ("a line lost", lines[0] + lines[2] + frame if len(lines) > 2 else lines[0] + frame),
        ("a continuation of nothing", lines[1] + frame),
        ("a length of 1", b"\x06\x09AAEA\n" + frame),
        ("longer than the buffer", frame_encode(bytes(BUF_SIZE + 1)) + frame),
        ("every byte that is no text", bytes(range(32)) + b"\n" + frame),
    ]


def framing() -> dict[str, Any]:
    """framing.json's content."""
    from bankai_edge._link import FrameReader

    cases = []
    for what, stream in streams():
        reader = FrameReader(BUF_SIZE)
        found = [[kind, content.hex()] for kind, content in reader.feed(stream)]
        cases.append({"what": what, "stream": stream.hex(), "found": found})
    return {"about": streams.__doc__, "buf_size": BUF_SIZE, "streams": cases}


CONVERSATIONS = {
    "os": os_group,
    "enumeration": enumeration,
    "upload": upload,
    "resume": resume,
    "refusals": refusals,
    "patches": patches,
    "smp": framing_of_smp,
}


def conversation(name: str) -> dict[str, Any]:
    """One file's content, recorded from the core's server."""
    device = MemoryDevice()
    from bankai_edge._link import SmpServer

    server = SmpServer(device, BUF_SIZE)
    make = CONVERSATIONS[name]
    exchanges = []
    for what, request, of_device in make(Requests()):
        exchange = {"what": what, "request": request.hex(), "answer": server.handle(request).hex()}
        exchanges.append(exchange | ({"device": True} if of_device else {}))
    return {"about": make.__doc__, "buf_size": BUF_SIZE, "exchanges": exchanges}


def main() -> None:
    """Write every file."""
    VECTORS.mkdir(exist_ok=True)
    for name, content in [*((n, conversation(n)) for n in CONVERSATIONS), ("framing", framing())]:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (VECTORS / f"{name}.json").write_text(text + "\n")
        print(f"{name}: {len(content.get('exchanges') or content['streams'])}")


if __name__ == "__main__":
    main()
