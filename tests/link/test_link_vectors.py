"""The recorded conversations: replayed against the server, and held against docs/smp.cddl."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import cbor2
import pycddl
import pytest
from link_device import MemoryDevice

import vectors
from bankai_edge._link import BK_GROUP, RC, FrameReader, SmpServer
from support import ROOT, VECTORS

CONVERSATIONS = sorted(p.stem for p in VECTORS.glob("*.json") if p.stem != "framing")
WRITE = 2
RULES = {
    (0, 0): "echo", (0, 4): "datetime", (0, 5): "reset", (0, 6): "parameters", (0, 7): "about",
    (8, 1): "status", (8, 2): "hash", (8, 3): "hash-types", (8, 4): "close",
    (10, 0): "group-count", (10, 1): "group-list", (10, 2): "group-one",
    (10, 3): "group-details", (BK_GROUP, 0): "info", (BK_GROUP, 1): "list",
    (BK_GROUP, 2): "activate", (BK_GROUP, 3): "deactivate", (BK_GROUP, 4): "remove",
    (BK_GROUP, 5): "rollback", (BK_GROUP, 6): "verify", (BK_GROUP, 7): "generate",
    (BK_GROUP, 8): "output", (BK_GROUP, 9): "bench",
}  # fmt: skip

# What a schema cannot say: `len` is required at off 0 only, texts end where they say, depth.
BEYOND_CDDL = ("no len", "malformed: a161647f6178ff", "nested too deep")


def load(name: str) -> dict[str, Any]:
    content = json.loads((VECTORS / f"{name}.json").read_text())
    assert isinstance(content, dict)
    return content


class Cddl:
    """docs/smp.cddl, a schema for each of its rules."""

    def __init__(self) -> None:
        self.text = (ROOT / "docs/smp.cddl").read_text()
        self._schemas: dict[str, pycddl.Schema] = {}

    def holds(self, rule: str, body: bytes) -> bool:
        if rule not in self._schemas:
            self._schemas[rule] = pycddl.Schema(f"start = {rule}\n{self.text}")
        try:
            self._schemas[rule].validate_cbor(body)
        except pycddl.ValidationError:
            return False
        return True


@pytest.fixture(scope="module")
def cddl() -> Cddl:
    return Cddl()


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_replay(name: str) -> None:
    vectors = load(name)
    server = SmpServer(MemoryDevice(), vectors["buf_size"])
    for exchange in vectors["exchanges"]:
        answer = server.handle(bytes.fromhex(exchange["request"])).hex()
        assert answer == exchange["answer"], exchange["what"]


def test_replay_of_serial_streams() -> None:
    vectors = load("framing")
    for case in vectors["streams"]:
        stream = bytes.fromhex(case["stream"])
        for size in (len(stream), 1, 7):
            reader = FrameReader(vectors["buf_size"])
            found: list[Any] = []
            for i in range(0, len(stream), size):
                found += reader.feed(stream[i : i + size])
            assert [[kind, data.hex()] for kind, data in found] == case["found"], case["what"]


def rule_of(packet: bytes) -> str | None:
    if len(packet) < 8:
        return None
    group, command = int.from_bytes(packet[4:6], "big"), packet[7]
    if (group, command) == (8, 0):
        return "upload" if packet[0] & 2 else "download"
    return RULES.get((group, command))


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_cddl_describes_what_is_said(name: str, cddl: Cddl) -> None:
    """Every answer fits its rule, and every request that the device understood fits its own."""
    for exchange in load(name)["exchanges"]:
        request, answer = (bytes.fromhex(exchange[key]) for key in ("request", "answer"))
        if not answer:
            continue
        rule = rule_of(request)
        body = request[8 : 8 + int.from_bytes(request[2:4], "big")] or b"\xa0"
        said = cbor2.loads(answer[8:])
        if "rc" in said or "err" in said:
            assert cddl.holds("error-answer", answer[8:]), exchange["what"]
            # what the device called malformed, the CDDL does too
            ours = said.get("err", {}).get("group") == BK_GROUP
            if said.get("rc") == 3 and cbor2_reads(body) and exchange["what"] not in BEYOND_CDDL:
                assert not cddl.holds(f"{rule}-request", body), exchange["what"]
            if ours and said["err"]["rc"] in (RC["BAD_NAME"], RC["LIMIT"]):
                assert not cddl.holds(f"{rule}-request", body), exchange["what"]
        else:
            assert cddl.holds(f"{rule}-request", body), exchange["what"]
            assert cddl.holds(f"{rule}-answer", answer[8:]), exchange["what"]
            assert not cddl.holds("error-answer", answer[8:])


def cbor2_reads(body: bytes) -> bool:
    stream = io.BytesIO(body)
    try:
        return isinstance(cbor2.CBORDecoder(stream).decode(), dict) and stream.read() == b""
    except cbor2.CBORDecodeError:
        return False


def test_every_command_is_recorded_and_described() -> None:
    """Page, CDDL and vectors know the same commands as the server."""
    seen = set()
    for name in CONVERSATIONS:
        for exchange in load(name)["exchanges"]:
            seen.add(rule_of(bytes.fromhex(exchange["request"])))
    rules = {*RULES.values(), "upload", "download"}
    assert seen - {None} == rules - {"bench"}
    text = (ROOT / "docs/smp.cddl").read_text()
    described = set(re.findall(r"^([a-z0-9-]+)-request =", text, re.M))
    assert described == rules
    assert {*re.findall(r"^([a-z0-9-]+)-answer =", text, re.M)} - {"error"} == rules


def test_the_vectors_are_those_that_the_tool_writes() -> None:
    for name in CONVERSATIONS:
        assert vectors.conversation(name) == load(name)
    assert vectors.framing() == load("framing")
