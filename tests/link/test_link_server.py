"""The SMP server as a client sees it: every command, its errors, and what must not crash it."""

from __future__ import annotations

import hashlib
import logging
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankai_edge import _link
from bankai_edge._device import DeviceError
from bankai_edge._link import BK_GROUP, RC
from support import ROOT
from support.link_device import MODEL_ID, MemoryDevice, bkp

READ, WRITE = 0, 2
OS, FS, ENUM = 0, 8, 10


class Client:
    """Speaks raw SMP to a server in this process."""

    def __init__(self, device: MemoryDevice | None = None) -> None:
        self.device = device or MemoryDevice()

    def call(
        self, op: int, group: int, command: int, version: int = 1, /, **args: Any
    ) -> dict[str, Any]:
        body = cbor2.dumps(args)
        head = struct.pack("!BBHHBB", op | version << 3, 0, len(body), group, 42, command)
        answer = self.device.packet(head + body)
        got = struct.unpack("!BBHHBB", answer[:8])
        assert got == (op + 1 | version << 3, 0, len(answer) - 8, group, 42, command)
        decoded = cbor2.loads(answer[8:])
        assert isinstance(decoded, dict)
        return decoded

    def upload(self, name: str, data: bytes, size: int = 100, **first: Any) -> dict[str, Any]:
        off, answer = 0, {}
        while off < len(data):
            extra = {"len": len(data), **first} if off == 0 else {}
            chunk = data[off : off + size]
            answer = self.call(
                WRITE, FS, 0, name=f"/bkp/{name}.bkp", off=off, data=chunk, detail=True, **extra
            )
            if "off" not in answer:
                break
            off = answer["off"]
        return answer


def error(name: str, group: int = BK_GROUP) -> dict[str, Any]:
    return {"err": {"group": group, "rc": RC[name]}}


@pytest.fixture
def client() -> Client:
    return Client()


def test_os_group(client: Client) -> None:
    assert client.call(WRITE, OS, 0, d="hällo") == {"r": "hällo"}
    assert client.call(READ, OS, 6) == {"buf_size": 1024, "buf_count": 4}
    assert client.call(READ, OS, 7)["output"].startswith("bankai-edge ")
    assert client.call(READ, OS, 4) == {"datetime": "2026-11-23T17:00:38"}
    assert client.call(WRITE, OS, 4, datetime="2000-01-01T00:00:00") == {"rc": 8}
    assert client.call(WRITE, OS, 5) == {} and client.device.desk.resets == 1


def test_enumeration(client: Client) -> None:
    assert client.call(READ, ENUM, 0) == {"count": 4}
    assert client.call(READ, ENUM, 1) == {"groups": [OS, FS, ENUM, BK_GROUP]}
    assert client.call(READ, ENUM, 2, index=3) == {"group": BK_GROUP, "end": True}
    assert client.call(READ, ENUM, 2, index=4) == {"err": {"group": ENUM, "rc": 4}}
    assert client.call(READ, ENUM, 2, 0, index=4) == {"rc": 5}
    assert client.call(READ, ENUM, 2) == {"group": OS}
    details = client.call(READ, ENUM, 3, groups=[BK_GROUP])["groups"]
    assert details == [{"group": BK_GROUP, "name": "bankai", "handlers": 10}]


def test_upload_then_everything_about_the_file(client: Client) -> None:
    data = bkp("arith", 750)
    assert client.upload("arith", data) == {"off": 750}
    name = "/bkp/arith.bkp"
    assert client.call(READ, FS, 1, name=name) == {"len": 750}
    assert client.call(READ, FS, 2, name=name) == {
        "type": "sha256", "len": 750, "output": hashlib.sha256(data).digest()}  # fmt: skip
    assert client.call(READ, FS, 2, name=name, type="crc32", off=10, len=600) == {
        "type": "crc32", "off": 10, "len": 600, "output": zlib.crc32(data[10:610])}  # fmt: skip
    assert client.call(READ, FS, 3) == {
        "types": {"sha256": {"format": 1, "size": 32}, "crc32": {"format": 0, "size": 4}}
    }
    assert client.call(READ, FS, 0, name=name, off=0) == {"off": 0, "len": 750, "data": data}
    assert client.call(READ, FS, 0, name=name, off=740) == {"off": 740, "data": data[740:]}
    assert client.call(READ, FS, 0, name=name, off=750) == {"off": 750, "data": b""}


@pytest.mark.parametrize("buf_size", [128, 129, 200, 1023, 65535])
def test_download_fills_the_buffer_and_no_more(buf_size: int) -> None:
    data = bytes(i * 7 % 256 for i in range(70_000))
    client = Client(MemoryDevice(buf_size, files={"big": data}))
    got = b""
    while len(got) < len(data):
        part = client.call(READ, FS, 0, name="/bkp/big.bkp", off=len(got))
        assert part["data"]
        got += part["data"]
    assert got == data


@pytest.mark.parametrize(
    "path",
    ["arith.bkp", "/bkp/arith", "/bkp/.bkp", "/bkp/../x.bkp", "/bkp/a/b.bkp", "/bkp/Arith.bkp",
     "/bkp/.hidden.bkp", "/bkp/a\x00b.bkp", "/bkp/" + "a" * 33 + ".bkp", "/lfs/a.bkp", "",
     "/bkp/ä.bkp"],
)  # fmt: skip
def test_bad_paths(client: Client, path: str) -> None:
    chunk = {"name": path, "off": 0, "len": 1, "data": b"x"}
    assert client.call(WRITE, FS, 0, **chunk) == {"err": {"group": FS, "rc": 2}}
    assert client.call(WRITE, FS, 0, detail=True, **chunk) == error("BAD_NAME")
    assert client.call(READ, FS, 1, name=path) == {"err": {"group": FS, "rc": 2}}
    assert client.device.store.upload is None


def test_names_at_their_limits(client: Client) -> None:
    for name in ("a", "0", "a" * 32, "a.b_c-d", "x.bkp"):
        data = bkp(name)
        assert client.upload(name, data) == {"off": len(data)}
    assert len(client.device.files) == 5


def test_a_wrong_offset_is_answered_with_the_expected_one(client: Client) -> None:
    data = bkp("a", 300)

    def write(off: int, until: int, more: bytes = b"") -> dict[str, Any]:
        first = {} if off else {"len": 300}
        chunk = data[off:until] + more
        return client.call(WRITE, FS, 0, name="/bkp/a.bkp", off=off, data=chunk, **first)

    assert write(40, 80) == {"off": 0}
    assert write(0, 40) == {"off": 40}
    assert write(60, 100) == {"off": 40}
    assert write(20, 60) == {"off": 40}
    assert write(40, 300, b"AB") == {"err": {"group": FS, "rc": 12}}
    assert write(0, 40) == {"off": 40}  # starts over
    assert write(40, 300) == {"off": 300}
    # the last answer got lost: the chunk comes again, and is not taken twice
    assert write(40, 300) == {"off": 300}
    assert client.device.files == {"a": data}


def test_an_upload_with_a_hash_resumes(client: Client) -> None:
    data, name = bkp("a", 300), "/bkp/a.bkp"
    sha = hashlib.sha256(data).digest()
    first = {"name": name, "off": 0, "len": 300, "sha": sha, "data": data[:100]}
    assert client.call(WRITE, FS, 0, **first) == {"off": 100}
    assert client.call(WRITE, FS, 0, name=name, off=100, data=data[100:200]) == {"off": 200}
    assert client.call(WRITE, FS, 0, **first) == {"off": 200}
    assert client.call(WRITE, FS, 0, name=name, off=200, data=data[200:]) == {"off": 300}
    assert client.device.files["a"] == data


def test_bytes_that_differ_from_the_announced_hash_are_not_stored(client: Client) -> None:
    assert client.upload("a", bkp("a"), sha=bytes(32)) == error("BAD_HASH")
    assert client.device.files == {} and client.device.store.aborted == 1


def test_two_uploads_at_once(client: Client) -> None:
    a = {"name": "/bkp/a.bkp", "off": 0, "len": 9, "data": b"aaa", "sha": bytes(32), "detail": True}
    assert client.call(WRITE, FS, 0, **a) == {"off": 3}
    assert client.call(WRITE, FS, 0, **{**a, "name": "/bkp/b.bkp"}) == error("BUSY")
    assert client.call(WRITE, FS, 0, **{**a, "sha": b"\x01" * 32}) == error("BUSY")
    assert client.call(WRITE, FS, 4) == {} and client.device.store.aborted == 1
    assert client.call(WRITE, FS, 0, **{**a, "name": "/bkp/b.bkp"}) == {"off": 3}


def test_a_refused_file_leaves_the_old_one_and_says_why(client: Client) -> None:
    good, bad = bkp("a"), bkp("a", 150, model_id=bytes(32))
    client.upload("a", good)
    detail = "made for 0000000000000000, this device runs 0001020304050607 (parrot)"
    refused = {**error("WRONG_MODEL"), "detail": detail}
    assert client.upload("a", bad) == refused
    again = {"name": "/bkp/a.bkp", "off": 100, "data": bad[100:]}
    assert client.call(WRITE, FS, 0, detail=True, **again) == refused
    assert client.call(WRITE, FS, 0, **again) == {"err": {"group": FS, "rc": 10}}
    assert client.device.files == {"a": good} and client.device.store.upload is None


def test_errors_of_the_device_at_begin(client: Client) -> None:
    chunk = {"name": "/bkp/a.bkp", "off": 0, "len": 2_000_000, "data": b"x", "detail": True}
    answer = {**error("TOO_LARGE"), "detail": "2000000 bytes; at most 1000000"}
    assert client.call(WRITE, FS, 0, **chunk) == answer
    assert client.call(WRITE, FS, 0, **{**chunk, "len": 0}) == error("MALFORMED")


def test_patch_group(client: Client) -> None:
    for name in ("arith", "home"):
        client.upload(name, bkp(name))
    bk = BK_GROUP
    assert client.call(WRITE, bk, 2, names=["arith"]) == {"ns": 1234}
    assert client.call(READ, bk, 1) == {
        "patches": [
            {"name": "arith", "size": len(bkp("arith")), "active": True},
            {"name": "home", "size": len(bkp("home")), "active": False},
        ]
    }
    assert client.call(WRITE, bk, 2, names=["arith", "nope"]) == {
        **error("NO_SUCH_PATCH"), "detail": "no patch 'nope' in the store"}  # fmt: skip
    assert client.device.active == ["arith"]
    assert client.call(WRITE, bk, 4, name="arith") == {
        **error("ACTIVE"), "detail": "arith is active"}  # fmt: skip
    assert client.call(WRITE, bk, 3, names=["arith"]) == {"ns": 1234}
    assert client.call(WRITE, bk, 5) == {"ns": 1234} and client.device.active == ["arith"]
    assert client.call(WRITE, bk, 3) == {"ns": 1234} and client.device.active == []
    assert client.call(WRITE, bk, 4, name="arith") == {}
    assert list(client.call(READ, bk, 6).items()) == [
        ("weights_intact", True), ("weights_sha256", MODEL_ID), ("patches", 1),
        ("bad_patches", []), ("ok", True)]  # fmt: skip
    info = client.call(READ, bk, 0)
    assert 0 <= info.pop("uptime_ms") < 60_000
    assert list(info.items()) == [
        ("board", "memory"), ("version", "1.0"), ("model", "parrot"), ("model_id", MODEL_ID),
        ("active", []), ("mode", "overlay"), ("patches", 1), ("policy", "open"), ("ctx", 48),
        ("kernel", "parrot")]  # fmt: skip
    assert client.call(WRITE, bk, 9) == error("NOT_SUPPORTED")


@pytest.mark.parametrize(
    ("args", "name"),
    [({}, "BAD_ARGUMENT"), ({"names": "arith"}, "BAD_ARGUMENT"), ({"names": [1]}, "BAD_ARGUMENT"),
     ({"names": ["a", "a"]}, "BAD_ARGUMENT"), ({"names": ["a/b"]}, "BAD_NAME"),
     ({"names": [""]}, "BAD_NAME"), ({"names": [f"p{i}" for i in range(9)]}, "LIMIT"),
     ({"names": [f"p{i}" for i in range(90)]}, "LIMIT")],
)  # fmt: skip
def test_bad_sets(client: Client, args: dict[str, Any], name: str) -> None:
    assert client.call(WRITE, BK_GROUP, 2, **args) == error(name)
    assert client.call(WRITE, BK_GROUP, 5) == error("NO_PREVIOUS")


@pytest.mark.parametrize("buf_size", [200, 1024])
def test_a_long_list_comes_in_parts(buf_size: int) -> None:
    files = {f"{i:03}" + "x" * 29: bytes(i) for i in range(150)}
    client, names, index = Client(MemoryDevice(buf_size, files=files)), [], 0
    while True:
        part = client.call(READ, BK_GROUP, 1, **{"from": index})
        names += [p["name"] for p in part["patches"]]
        if "next" not in part:
            break
        assert part["next"] > index
        index = part["next"]
    assert names == sorted(files)


@pytest.mark.parametrize("buf_size", [128, 1024])
def test_generate_and_read_output(buf_size: int) -> None:
    client = Client(MemoryDevice(buf_size))
    prompt = "wie heißt das? " * 5
    assert client.call(WRITE, BK_GROUP, 7, prompt=prompt, max_tokens=9) == {}
    text, done = b"", False
    while not done:
        part = client.call(READ, BK_GROUP, 8, off=len(text))
        assert part["off"] == len(text) and (part["tokens"], part["us"]) == (7, 1500)
        text, done = text + part["data"], part["done"]
    assert text.decode() == f"{prompt}42 (9)"
    assert client.call(WRITE, BK_GROUP, 7, prompt="")["err"] == error("BAD_ARGUMENT")["err"]
    assert client.call(WRITE, BK_GROUP, 7, prompt="x", max_tokens=0) == error("BAD_ARGUMENT")


def test_version_1_gets_its_own_errors(client: Client) -> None:
    assert client.call(WRITE, OS, 0, 0, d="x") == {"r": "x"}
    assert client.call(READ, FS, 1, 0, name="/bkp/none.bkp") == {"rc": 5}
    assert client.call(WRITE, BK_GROUP, 4, 0, name="none") == {"rc": 5}
    assert client.call(WRITE, BK_GROUP, 4, 0, name="N") == {"rc": 3}


def test_what_smp_itself_refuses(client: Client) -> None:
    assert client.call(READ, 99, 0) == {"rc": 8}
    assert client.call(READ, BK_GROUP, 99) == {"rc": 8}
    assert client.call(READ, BK_GROUP, 2, names=[]) == {"rc": 8}
    assert client.call(WRITE, OS, 0) == {"rc": 3}
    head = struct.pack("!BBHHBB", WRITE | 1 << 3, 0, 9, OS, 7, 0)
    broken = (b"", b"\xa1", b"\xa1ada", b"\x81\x00", b"\xa1adaxff", b"\xa1ad\x7fax\xff\x00\x00")
    for body in broken:
        packet = head[:2] + struct.pack("!H", max(len(body), 1)) + head[4:] + body
        assert cbor2.loads(client.device.packet(packet)[8:]) == {"rc": 3}
    too_new = struct.pack("!BBHHBB", WRITE | 2 << 3, 0, 0, OS, 7, 0)
    assert cbor2.loads(client.device.packet(too_new)[8:]) == {"rc": 13}


def test_deep_nesting_is_refused_not_recursed_into(client: Client) -> None:
    body = b"\xa2ax" + b"\x81" * 5000 + b"\x00" + b"adaq"
    head = struct.pack("!BBHHBB", WRITE | 1 << 3, 0, len(body), OS, 7, 0)
    assert cbor2.loads(client.device.packet(head + body)[8:]) == {"rc": 3}
    shallow = {"x": [[[{"y": [[1]]}]]], "d": "q"}
    assert client.call(WRITE, OS, 0, **shallow) == {"r": "q"}


def test_silence(client: Client) -> None:
    assert client.device.packet(b"") == b"" == client.device.packet(bytes(7))
    assert client.device.packet(struct.pack("!BBHHBB", 3 | 1 << 3, 0, 0, OS, 7, 0)) == b""


def test_an_answer_that_does_not_fit() -> None:
    files = {c * 30: bkp(c * 30) for c in "abcde"}
    client = Client(MemoryDevice(128, files=files))
    assert client.call(WRITE, OS, 0, d="x" * 200) == {"rc": 7}
    assert "ns" in client.call(WRITE, BK_GROUP, 2, names=list(files))
    assert client.call(READ, BK_GROUP, 0) == {"rc": 7}


def test_a_bug_in_the_device_is_answered_and_logged(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.upload("a", bkp("a"))
    client.device.store.refusal = ZeroDivisionError("boom")
    with caplog.at_level(logging.ERROR):
        answer = client.call(WRITE, BK_GROUP, 2, names=["a"])
    assert answer == {**error("INTERNAL"), "detail": "ZeroDivisionError: boom"}
    assert "ZeroDivisionError" in caplog.text
    client.device.desk.told = {"board": 1.5}  # type: ignore[dict-item]
    with caplog.at_level(logging.ERROR):
        assert "board" not in client.call(READ, BK_GROUP, 0)
    assert "TypeError: board: cannot send a float" in caplog.text
    client.device.session.broken = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        client.call(READ, BK_GROUP, 6)
    assert client.call(WRITE, OS, 0, d="still here") == {"r": "still here"}


def test_a_long_detail_is_cut_between_characters(client: Client) -> None:
    client.upload("a", bkp("a"))
    client.device.store.refusal = DeviceError(RC["IO"], "x" + "ä" * 300)
    answer = client.call(WRITE, BK_GROUP, 2, names=["a"])
    assert answer == {**error("IO"), "detail": "x" + "ä" * 79}


def test_the_link_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = ["numpy", "cbor2", "logging", "bankai_edge._engine"]
    both = "bankai_edge._link, bankai_edge._device"
    code = f"import sys, {both}; print([m for m in {heavy} if m in sys.modules])"
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, text=True, cwd=tmp_path) == "[]\n"


def test_the_documented_line_on_serial() -> None:
    """The conversation itself is replayed on every port: tests/device/."""
    page = (ROOT / "docs/protocol.md").read_text()
    first = re.search(r"^    > (\w+)\n", page, re.M)
    on_serial = re.search(r"^    06 09 (\S+)$", page, re.M)
    assert first is not None and on_serial is not None
    wire = b"\x06\x09" + on_serial[1].encode() + b"\n"
    assert wire == _link.frame_encode(bytes.fromhex(first[1]))


def test_the_documented_errors_are_the_real_ones() -> None:
    page = (ROOT / "docs/protocol.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \| (.*) \|$", page, re.M)
    assert {name: int(rc) for rc, name, _ in rows} == {k: v for k, v in RC.items() if v}
    for rc, _, text in rows:
        assert text.replace("`", "") == _link.rc_text(int(rc))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats()
    | st.binary(max_size=40) | st.text(max_size=40)
    | st.sampled_from(["/bkp/a.bkp", "a", "sha256"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
keys = st.sampled_from(
    ["d", "off", "len", "name", "names", "data", "sha", "type", "prompt", "max_tokens", "from",
     "index", "groups", "detail"]
)  # fmt: skip


@given(
    st.lists(
        st.tuples(
            st.integers(0, 255), st.sampled_from([OS, FS, ENUM, BK_GROUP, 7]), st.integers(0, 11),
            st.dictionaries(keys, values, max_size=6).map(cbor2.dumps) | st.binary(max_size=60),
            st.integers(-3, 3),
        ),
        max_size=6,
    ),
    st.sampled_from([128, 300]),
)  # fmt: skip
def test_garbage_gets_an_answer_or_silence(
    requests: list[tuple[int, int, int, bytes, int]], buf_size: int
) -> None:
    client = Client(MemoryDevice(buf_size, files={"a": bytes(500)}))
    for op, group, command, body, lie in requests:
        length = min(max(len(body) + lie, 0), 65535)
        packet = struct.pack("!BBHHBB", op, 0, length, group, 9, command) + body
        answer = client.device.packet(packet)
        if op & 7 not in (READ, WRITE):
            assert answer == b""
            continue
        assert len(answer) <= buf_size
        assert struct.unpack("!H", answer[2:4])[0] == len(answer) - 8
        assert isinstance(cbor2.loads(answer[8:], str_errors="replace"), dict)


@given(st.binary(max_size=200))
def test_arbitrary_packets(packet: bytes) -> None:
    answer = Client().device.packet(packet)
    assert answer == b"" or len(answer) >= 8


def test_constants() -> None:
    assert BK_GROUP == 0x424B and _link.rc_name(3) == "WRONG_MODEL"
    assert str(DeviceError(3, "why")) == "WRONG_MODEL: why"
    with pytest.raises(ValueError, match="expected 128 to 65535"):
        MemoryDevice(64)
