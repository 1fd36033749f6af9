"""tests/vectors/*.json: conversations to have with a device, and docs/smp.cddl to judge them by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import cbor2
import pycddl

import vectors
from bankai_edge._link import BK_GROUP
from support import ROOT, VECTORS
from support.direct import Packets

CONVERSATIONS = sorted(p.stem for p in VECTORS.glob("*.json") if p.stem != "framing")
RULES = {
    (0, 0): "echo", (0, 4): "datetime", (0, 5): "reset", (0, 6): "parameters", (0, 7): "about",
    (8, 1): "status", (8, 2): "hash", (8, 3): "hash-types", (8, 4): "close",
    (10, 0): "group-count", (10, 1): "group-list", (10, 2): "group-one",
    (10, 3): "group-details", (BK_GROUP, 0): "info", (BK_GROUP, 1): "list",
    (BK_GROUP, 2): "activate", (BK_GROUP, 3): "deactivate", (BK_GROUP, 4): "remove",
    (BK_GROUP, 5): "rollback", (BK_GROUP, 6): "verify", (BK_GROUP, 7): "generate",
    (BK_GROUP, 8): "output", (BK_GROUP, 9): "bench",
}  # fmt: skip


def load(name: str) -> dict[str, Any]:
    """One file's content."""
    content = json.loads((VECTORS / f"{name}.json").read_text())
    assert isinstance(content, dict)
    return content


def exchanges(name: str) -> Iterator[tuple[str, bytes, bytes, dict[str, Any]]]:
    """What it shows, request, answer and what else is said about them."""
    for exchange in load(name)["exchanges"]:
        request, answer = (bytes.fromhex(exchange[key]) for key in ("request", "answer"))
        yield exchange["what"], request, answer, exchange


def rule_of(packet: bytes) -> str | None:
    """The name of a request's rule in the CDDL."""
    if len(packet) < 8:
        return None
    group, command = int.from_bytes(packet[4:6], "big"), packet[7]
    if (group, command) == (8, 0):
        return "upload" if packet[0] & 2 else "download"
    return RULES.get((group, command))


@cache
def _schema(rule: str) -> pycddl.Schema:
    return pycddl.Schema(f"start = {rule}\n{(ROOT / 'docs/smp.cddl').read_text()}")


def holds(rule: str, body: bytes) -> bool:
    """Whether a body is as docs/smp.cddl's rule has it."""
    try:
        _schema(rule).validate_cbor(body)
    except pycddl.ValidationError:
        return False
    return True


def replay(device: Packets, name: str) -> None:
    """Have the conversation: every answer is the one recorded, but for what is a device's own."""
    for what, request, expected, exchange in exchanges(name):
        answer = device.packet(request)
        until = exchange.get("until")
        while until and not cbor2.loads(answer[8:]).get(until, True):
            answer = device.packet(request)
        own = exchange.get("any", ())
        if vectors.neutral(answer, own) != expected:
            told, wanted = (cbor2.loads(x[8:]) if x else x for x in (answer, expected))
            raise AssertionError(f"{name}: {what}: {told}, not {wanted}")
        if own and "err" not in cbor2.loads(answer[8:]):
            assert holds(f"{rule_of(request)}-answer", answer[8:]), what
