"""Write tests/vectors/*.json: what a device answers, byte by byte.

    python tools/make/vectors.py

framing.json holds streams of serial bytes and what is to be found in them. Each other file is one
conversation with a device that runs the shipped nano, takes any patch (policy `open`) and starts
with an empty store; its requests are sent in order, and every answer has to be the one recorded
here from the Linux agent's device. tests/device/ replays them on every port. An exchange's "any"
names the keys whose values are a device's own (times, what it is); an exchange with "until" is
asked again until that key is true.
"""

from __future__ import annotations

import hashlib
import json
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cbor2

from bankai_edge.model import Model, Session
from bankai_edge.patch import Patch, decode, encode
from bankai_edge.patch.bind import bind
from bankai_edge.shipped import NANO

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests/vectors"
BUF_SIZE = 1024
CTX = 48
READ, WRITE = 0, 2
OS, FS, ENUM, BK = 0, 8, 10, 0x424B
A, B = "/bkp/a.bkp", "/bkp/b.bkp"
INFO = ("board", "version", "mode", "ctx", "kernel", "uptime_ms", "warnings")
QUESTION = "17+25="


@dataclass(frozen=True)
class Step:
    """What it shows, the request, and what of the answer is a device's own."""

    what: str
    request: bytes
    any: tuple[str, ...] = ()
    until: str = ""


@cache
def nano() -> Model:
    """The shipped model."""
    return Model(NANO)


def patch(name: str, rows: Sequence[int], **more: Any) -> bytes:
    """A patch that negates these rows of layer 0's o_proj; .bkp bytes."""
    flips = tuple((0, 3, row) for row in rows)
    return encode(bind(Patch(name=name, rows=flips, **more), nano()))


@cache
def large() -> bytes:
    """A patch of 600 bytes: most of them are a note."""
    note = 600 - len(patch("a", range(9), provenance={"note": "x" * 300})) + 300
    data = patch("a", range(9), provenance={"note": "x" * note})
    assert len(data) == 600
    return data


@cache
def right() -> str:
    """What the nano says to QUESTION under the flips of `probed`."""
    session = Session(nano(), ctx=CTX)
    session.use([probed("p")])
    return "".join(session.generate(QUESTION, max_tokens=8)).strip()


def probed(name: str, *canaries: tuple[str, str]) -> bytes:
    """A patch with probes."""
    return patch(name, range(0, 30, 3), canaries=canaries)


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


class Conversation:
    """Steps in the making."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.packet = Requests()

    def __call__(
        self,
        what: str,
        op: int,
        group: int,
        command: int,
        body: dict[str, Any] | bytes | None = None,
        *,
        any: tuple[str, ...] = (),
        until: str = "",
        **header: int,
    ) -> None:
        """One request."""
        request = self.packet(op, group, command, body, **header)
        self.steps.append(Step(what, request, any, until))

    def raw(self, what: str, packet: bytes) -> None:
        """Bytes that are no request, or not quite one."""
        self.steps.append(Step(what, packet))

    def chunk(self, what: str, name: str, off: int, data: bytes, **first: Any) -> None:
        """A part of an upload."""
        own = first.pop("any", ())
        self(what, WRITE, FS, 0, {"name": name, "off": off, **first, "data": data}, any=own)

    def push(self, what: str, name: str, data: bytes, **own: tuple[str, ...]) -> None:
        """A whole file in one chunk."""
        self.chunk(what, f"/bkp/{name}.bkp", 0, data, len=len(data), detail=True, **own)

    def use(self, *names: str) -> None:
        """A switch."""
        self(f"use {names}", WRITE, BK, 2, {"names": list(names)}, any=("ns",))

    def ask(self, what: str, prompt: str, max_tokens: int) -> None:
        """A prompt, and its answer when it is whole."""
        body = {"prompt": prompt, "max_tokens": max_tokens}
        self(f"{what}: generate", WRITE, BK, 7, body)
        self(f"{what}: output", READ, BK, 8, any=("us",), until="done")

    def look(self) -> None:
        """What is there now."""
        self("list", READ, BK, 1)
        self("info", READ, BK, 0, any=INFO)


def os_group(c: Conversation) -> None:
    """Echo, date and time, parameters, information, reset."""
    c("echo", WRITE, OS, 0, {"d": "hello"})
    c("echo, read", READ, OS, 0, {"d": "grüß dich"})
    c("echo of nothing", WRITE, OS, 0, {"d": ""})
    c("echo without d", WRITE, OS, 0)
    c("the date is not to be set", WRITE, OS, 4, {"datetime": "2000-01-01T00:00:00"})
    c("parameters", READ, OS, 6, any=("buf_size", "buf_count"))
    c("application info", READ, OS, 7, {"format": "a"}, any=("output",))
    c("reset", WRITE, OS, 5)


def clock(c: Conversation) -> None:
    """The date and time, of a device that has a clock."""
    c("date and time", READ, OS, 4, any=("datetime",))


def enumeration(c: Conversation) -> None:
    """Group 10, as stock tools ask it."""
    c("count", READ, ENUM, 0)
    c("all", READ, ENUM, 1)
    for index in range(4):
        c(f"group at index {index}", READ, ENUM, 2, {"index": index})
    c("no index is the first", READ, ENUM, 2)
    c("index too large", READ, ENUM, 2, {"index": 4})
    c("index too large, v1", READ, ENUM, 2, {"index": 4}, version=0)
    c("details of all", READ, ENUM, 3)
    c("details of two", READ, ENUM, 3, {"groups": [FS, BK]})
    c("details of none that is here", READ, ENUM, 3, {"groups": [1, 99]})


def upload(c: Conversation) -> None:
    """A file in chunks, with everything that a bad line does to it, then read back."""
    data = large()
    c.chunk("an upload that does not begin at 0", A, 5, b"x")
    c.chunk("first chunk", A, 0, data[:200], len=600)
    c.chunk("second chunk", A, 200, data[200:400])
    c.chunk("second chunk again: dropped", A, 200, data[200:400])
    c.chunk("a chunk from beyond: dropped", A, 500, data[500:])
    c.chunk("a chunk that overlaps: dropped", A, 300, data[300:])
    c.chunk("more bytes than announced", A, 400, bytes(300))
    c.chunk("last chunk", A, 400, data[400:])
    c.chunk("last chunk again", A, 400, data[400:])
    c("status", READ, FS, 1, {"name": A})
    c("sha256 is the default", READ, FS, 2, {"name": A})
    c("sha256", READ, FS, 2, {"name": A, "type": "sha256"})
    c("crc32 of a part", READ, FS, 2, {"name": A, "type": "crc32", "off": 9, "len": 90})
    c("another hash", READ, FS, 2, {"name": A, "type": "md5"})
    c("hash types", READ, FS, 3)
    c("download", READ, FS, 0, {"name": A, "off": 0})
    c("download, the rest", READ, FS, 0, {"name": A, "off": 590})
    c("download, the end", READ, FS, 0, {"name": A, "off": 600})
    c("download beyond the end", READ, FS, 0, {"name": A, "off": 601})
    c.chunk("start over with a stock client's chunk", A, 0, data[:200], len=600)
    c("close", WRITE, FS, 4)
    c.chunk("the chunk after a close", A, 200, data[200:400])


def resume(c: Conversation) -> None:
    """Uploads that announce their hash: they resume, and are held against it."""
    data = large()
    first = {"len": 600, "sha": hashlib.sha256(data).digest(), "detail": True}
    c.chunk("first chunk", A, 0, data[:200], **first)
    c.chunk("second chunk", A, 200, data[200:400])
    c.chunk("after a cut the first chunk again: on from 400", A, 0, data[:200], **first)
    other = {"sha": bytes(32), "detail": True}
    c.chunk("another's upload meanwhile: BUSY", B, 0, b"b", len=9, **other)
    c.chunk("the same, a stock client's", B, 0, b"b", len=9)
    c.chunk("last chunk", A, 400, data[400:])
    c.chunk("bytes that do not have the hash", B, 0, b"b", len=1, **other)
    c.chunk("a hash of the wrong length", B, 0, b"b", len=1, sha=b"x")
    c("nothing of it was stored", READ, FS, 1, {"name": B})


def refusals(c: Conversation) -> None:
    """Files that are refused, in the file group's numbers and in ours, with the sentence."""
    bad = ["a.bkp", "/bkp/../a.bkp", "/bkp/A.bkp", "/bkp/.bkp", "/bkp/" + "a" * 33 + ".bkp"]
    for path in bad:
        c.chunk(f"path {path}", path, 0, b"x", len=1)
        c.chunk(f"path {path}, detail", path, 0, b"x", len=1, detail=True)
    c("no such file", READ, FS, 1, {"name": A})
    c("no such file, detail", READ, FS, 1, {"name": A, "detail": True})
    c("no such file, v1", READ, FS, 1, {"name": A}, version=0)
    c.chunk("an empty file", A, 0, b"", len=0)
    c.chunk("no len", A, 0, b"x")
    c("no data", WRITE, FS, 0, {"name": A, "off": 0, "len": 1})
    c("off is text", WRITE, FS, 0, {"name": A, "off": "0", "len": 1, "data": b"x"})
    c.chunk("too large", A, 0, b"x", len=2**32 - 1, detail=True, any=("detail",))
    fit = patch("p", range(9))
    c.push("one that fits", "p", fit)
    c.use("p")
    plain = decode(fit, "p")
    files = {
        "misnamed": patch("q", [1]),
        "for another model": fit.replace(nano().id, bytes(32)),
        "unbound": encode(replace(plain, model_id=None, crc=None)),
        "wrong crc": encode(replace(plain, crc=(plain.crc or 0) ^ 1)),
        "no such row": encode(replace(plain, rows=((0, 3, 256),))),
        "no such layer": encode(replace(plain, rows=((99, 3, 2),))),
        "no such bit": encode(replace(plain, bits=((0, 3, 2, 999),))),
        "format version 2": fit.replace(b"\xa5\x00\x01", b"\xa5\x00\x02", 1),
        "truncated": fit[:-3],
        "a byte more": fit + b"\0",
        "text": b"buy milk",
        "a broken envelope": bytes.fromhex("d28443a10127a0") + fit,
    }
    for what, data in files.items():
        c.push(what, "p", data)
    whole = {"name": "/bkp/p.bkp", "off": 0, "len": len(files["text"]), "data": files["text"]}
    c("a stock client's", WRITE, FS, 0, whole)
    c.look()
    c("verify", READ, BK, 6, any=("weights_sha256",))


def patches(c: Conversation) -> None:
    """Group 0x424B."""
    c("info", READ, BK, 0, any=INFO)
    c("an empty list", READ, BK, 1)
    c.push("store a", "a", patch("a", range(0, 200, 2)))
    c.push("store b", "b", patch("b", [3]))
    c.use("a", "b")
    c("activate what is not there", WRITE, BK, 2, {"names": ["a", "c"]})
    c("list", READ, BK, 1)
    c("list from 1", READ, BK, 1, {"from": 1})
    c.ask("with a and b", QUESTION, 5)
    c("output, from 4", READ, BK, 8, {"off": 4}, any=("us",))
    c("output, from beyond", READ, BK, 8, {"off": 4000}, any=("us",))
    c("remove an active one", WRITE, BK, 4, {"name": "a"})
    c("deactivate what is not active", WRITE, BK, 3, {"names": ["c"]})
    c("deactivate a", WRITE, BK, 3, {"names": ["a"]}, any=("ns",))
    c("remove a", WRITE, BK, 4, {"name": "a"})
    c("remove it again", WRITE, BK, 4, {"name": "a"})
    c("off", WRITE, BK, 3, any=("ns",))
    c("rollback", WRITE, BK, 5, any=("ns",))
    c("verify", READ, BK, 6, any=("weights_sha256",))
    c("verify, write", WRITE, BK, 6, any=("weights_sha256",))
    for names in (None, "a", [1], ["a", "a"], ["A"], [""], [f"p{i}" for i in range(9)]):
        c(f"names {names}", WRITE, BK, 2, {} if names is None else {"names": names})
    c("remove what is no name", WRITE, BK, 4, {"name": "A"})
    c.ask("without a", QUESTION, 5)
    c("generate nothing", WRITE, BK, 7, {"prompt": ""})
    c("generate white space", WRITE, BK, 7, {"prompt": "\u00a0\n "})
    c("generate no tokens", WRITE, BK, 7, {"prompt": "x", "max_tokens": 0})
    c("no such patch, v1", WRITE, BK, 4, {"name": "none"}, version=0)
    c.look()


def rollback(c: Conversation) -> None:
    """The previous set comes back with the bytes it had, whatever became of its patches."""
    c("nothing to go back to", WRITE, BK, 5)
    c.push("a", "a", patch("a", range(0, 100, 2)))
    c.use("a")
    c.push("another a, while it is active", "a", patch("a", range(1, 100, 2)))
    c.look()
    c.ask("with the new a", QUESTION, 5)
    c("rollback", WRITE, BK, 5, any=("ns",))
    c("the old a is stored again", READ, FS, 2, {"name": A})
    c.ask("with the old a", QUESTION, 5)
    c("rollback", WRITE, BK, 5, any=("ns",))
    c("off", WRITE, BK, 3, any=("ns",))
    c("remove a", WRITE, BK, 4, {"name": "a"})
    c("rollback to what was removed", WRITE, BK, 5, any=("ns",))
    c.look()
    c("verify", READ, BK, 6, any=("weights_sha256",))


def probes(c: Conversation) -> None:
    """Patches that bring probes: one that fails leaves the set from before active."""
    c.push("good", "good", probed("good", (QUESTION, right()), (QUESTION, f" {right()}\n")))
    c.push("bad", "bad", probed("bad", (QUESTION, "no such answer, ever"), (QUESTION, right())))
    c.push("mute", "mute", probed("mute", ("", "x")))
    c.push("long", "long", probed("long", ("9" * 200, "x")))
    c.push("quoted", "q", probed("q", ('it\'s\n\x01\t\\ "1"', "Größe")))
    c.use("good")
    for name in ("bad", "mute", "long", "q"):
        c.use(name, "good")  # a slow device asks the first probe at least
    bad = probed("good", (QUESTION, "no such answer, ever"))
    c.push("a new version of an active one, whose probe fails", "good", bad)
    c.look()
    c.ask("with the good one", QUESTION, 8)


def sequences(c: Conversation) -> None:
    """Numbered patches: none comes back older, but what was removed is forgotten."""

    def numbered(sequence: int | None) -> bytes:
        return patch("p", range(sequence or 1), sequence=sequence)

    for sequence in (5, 4, None, 6, 6):
        c.push(f"number {sequence}", "p", numbered(sequence))
    c("remove", WRITE, BK, 4, {"name": "p"})
    c.push("number 1 after that", "p", numbered(1))


def example(c: Conversation) -> None:
    """The conversation that docs/protocol.md shows."""
    data = patch("arith", [1])
    c('echo "hi"', WRITE, OS, 0, {"d": "hi"})
    c.chunk(f"upload {len(data)} bytes, the whole file, as arith", "/bkp/arith.bkp", 0, data,
            len=len(data))  # fmt: skip
    c("its CRC-32", READ, FS, 2, {"name": "/bkp/arith.bkp", "type": "crc32"})
    c("activate it", WRITE, BK, 2, {"names": ["arith"]}, any=("ns",))
    c("list", READ, BK, 1)
    c("remove it: refused, ACTIVE", WRITE, BK, 4, {"name": "arith"})


def framing_of_smp(c: Conversation) -> None:
    """Headers and bodies that are wrong, odd or from a hostile hand."""
    echo = {"d": "x"}
    for sequence in (255, 0, 0, 7):
        c(f"sequence {sequence}", WRITE, OS, 0, echo, sequence=sequence)
    c("version 1", WRITE, OS, 0, echo, version=0)
    c("version 3", WRITE, OS, 0, echo, version=2)
    c("an answer: silence", 3, OS, 0, echo)
    c.raw("seven bytes: silence", c.packet(WRITE, OS, 0, echo)[:7])
    c("no such group", READ, 99, 0)
    c("no such command", READ, BK, 99)
    c("a command's other operation", READ, BK, 2, {"names": []})
    c("no body", READ, OS, 6, b"", any=("buf_size", "buf_count"))
    c.raw("a body that is cut", c.packet(WRITE, OS, 0, echo)[:-1])
    c.raw("bytes behind the body are ignored", c.packet(WRITE, OS, 0, echo) + b"??")
    for body in (b"\xa1", b"\xa1ada", b"\x81\x00", b"\xa1adaxff", b"\xa1ad\x7fax\xff", b"\xff"):
        c(f"malformed: {body.hex()}", WRITE, OS, 0, body)
    c("an endless map", WRITE, OS, 0, b"\xbf\x61d\x61x\xff")
    c("unknown keys", WRITE, OS, 0, {"a": [1, {"b": None}], "d": "x", "z": 1.5})
    c("nested too deep", WRITE, OS, 0, b"\xa2\x61x" + b"\x81" * 9 + b"\x00\x61d\x61x")
    c("a length that lies", WRITE, OS, 0, b"\xa1\x61d\x7b" + b"\xff" * 8)


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
        ("longer than the buffer", frame_encode(b"\x01" * (BUF_SIZE + 1)) + frame),
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
    "clock": clock,
    "enumeration": enumeration,
    "upload": upload,
    "resume": resume,
    "refusals": refusals,
    "patches": patches,
    "rollback": rollback,
    "probes": probes,
    "sequences": sequences,
    "smp": framing_of_smp,
    "example": example,
}


def conversation(name: str) -> dict[str, Any]:
    """One file's content, recorded from the agent's device."""
    from bankai_edge.agent.device import AgentDevice
    from bankai_edge.agent.store import Store

    make = CONVERSATIONS[name]
    c = Conversation()
    make(c)
    with tempfile.TemporaryDirectory() as folder:
        device = AgentDevice(
            Session(nano(), ctx=CTX),
            Store(Path(folder)),
            log=lambda _: None,
            on_reset=lambda: None,
        )
        exchanges = [_exchange(device, step) for step in c.steps]
        device.close()
    return {"about": make.__doc__, "buf_size": BUF_SIZE, "exchanges": exchanges}


def _exchange(device: Any, step: Step) -> dict[str, Any]:
    answer = device.packet(step.request)
    while step.until and not cbor2.loads(answer[8:])[step.until]:
        answer = device.packet(step.request)
    answer = neutral(answer, step.any)
    found: dict[str, Any] = {
        "what": step.what,
        "request": step.request.hex(),
        "answer": answer.hex(),
    }
    found |= {"any": list(step.any)} if step.any else {}
    return found | ({"until": step.until} if step.until else {})


def neutral(answer: bytes, any: Sequence[str]) -> bytes:
    """An answer in which the values of these keys are the empty ones, and warnings are not told."""
    if not any:
        return answer
    said = {k: type(v)() if k in any else v for k, v in cbor2.loads(answer[8:]).items()}
    if "warnings" in any:
        said.pop("warnings", None)
    body = cbor2.dumps(said)
    return answer[:2] + len(body).to_bytes(2, "big") + answer[4:8] + body


def main() -> None:
    """Write every file."""
    VECTORS.mkdir(exist_ok=True)
    for name, content in [*((n, conversation(n)) for n in CONVERSATIONS), ("framing", framing())]:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (VECTORS / f"{name}.json").write_text(text + "\n")
        print(f"{name}: {len(content.get('exchanges') or content['streams'])}")


if __name__ == "__main__":
    main()
