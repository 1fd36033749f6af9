"""The recorded conversations, held against docs/smp.cddl; tests/device/ replays them."""

from __future__ import annotations

import io
import re
from typing import Any

import cbor2
import pytest

import vectors
from bankai_edge._link import BK_GROUP, RC, FrameReader
from support import ROOT
from support.conversations import CONVERSATIONS, RULES, exchanges, holds, load, rule_of

WRITE = 2
# What a schema cannot say: `len` is required at off 0 only, texts end where they say, depth.
BEYOND_CDDL = ("no len", "malformed: a161647f6178ff", "nested too deep")


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


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_cddl_describes_what_is_said(name: str) -> None:
    """Every answer fits its rule, and every request that the device understood fits its own."""
    for what, request, answer, exchange in exchanges(name):
        if not answer:
            continue
        rule = rule_of(request)
        body = request[8 : 8 + int.from_bytes(request[2:4], "big")] or b"\xa0"
        said = cbor2.loads(answer[8:])
        if "rc" in said or "err" in said:
            assert holds("error-answer", answer[8:]), what
            # what the device called malformed, the CDDL does too
            ours = said.get("err", {}).get("group") == BK_GROUP
            if said.get("rc") == 3 and cbor2_reads(body) and what not in BEYOND_CDDL:
                assert not holds(f"{rule}-request", body), what
            if ours and said["err"]["rc"] in (RC["BAD_NAME"], RC["LIMIT"]) and what != "misnamed":
                assert not holds(f"{rule}-request", body), what
        else:
            assert holds(f"{rule}-request", body), what
            assert not holds("error-answer", answer[8:])
            if "any" not in exchange:  # else a real one has to: tests/device/
                assert holds(f"{rule}-answer", answer[8:]), what


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
        seen |= {rule_of(request) for _, request, _, _ in exchanges(name)}
    rules = {*RULES.values(), "upload", "download"}
    assert seen - {None} == rules - {"bench"}
    text = (ROOT / "docs/smp.cddl").read_text()
    described = set(re.findall(r"^([a-z0-9-]+)-request =", text, re.M))
    assert described == rules
    assert {*re.findall(r"^([a-z0-9-]+)-answer =", text, re.M)} - {"error"} == rules


def test_the_documented_conversation_is_the_recorded_one() -> None:
    page = (ROOT / "docs/protocol.md").read_text()
    shown = re.findall(r"^    (.*)\n    > (\w+)\n    < (\w+)$", page, re.M)
    assert shown == [(what, q.hex(), a.hex()) for what, q, a, _ in exchanges("example")]


def test_the_vectors_are_those_that_the_tool_writes() -> None:
    for name in CONVERSATIONS:
        assert vectors.conversation(name) == load(name)
    assert vectors.framing() == load("framing")
