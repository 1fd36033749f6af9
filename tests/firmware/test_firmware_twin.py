"""The firmware answers as the Linux agent does: packet by packet, side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from link_device import MemoryDevice

from bankai_edge._link import FrameReader, SmpServer
from bankai_edge.model import Model
from bankai_edge.patch import Patch, decode, encode
from support import VECTORS
from support.agents import make_patch
from support.firmware.board import HostBoard
from support.firmware.twin import BK_GROUP, READ, WRITE, Twin, bound, versions, wander

CONVERSATIONS = sorted(p.stem for p in VECTORS.glob("*.json") if p.stem != "framing")


@pytest.fixture
def twin(
    firmware_program: Path, tmp_path: Path, nano_path: Path, model: Model, mode: str
) -> Iterator[Twin]:
    in_place = mode == "in_place"
    own = Model(nano_path, writable=True) if in_place else model
    with HostBoard(
        firmware_program, tmp_path / "flash", nano_path, writable=int(in_place)
    ) as board:
        twin = Twin(board, own, tmp_path / "store", in_place=in_place)
        yield twin
        twin.close()


@pytest.fixture(scope="module")
def model(nano_path: Path) -> Model:
    return Model(nano_path)


overlay = pytest.mark.parametrize("mode", ["overlay"])
both = pytest.mark.parametrize("mode", ["overlay", "in_place"])


@overlay
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_every_recorded_request_is_answered_alike(twin: Twin, name: str) -> None:
    """Where the recording's bytes are not a patch, the agent refuses them and so does the board."""
    twin.replay(json.loads((VECTORS / f"{name}.json").read_text()))


@overlay
@pytest.mark.parametrize("name", ["upload", "resume", "refusals", "patches"])
def test_the_conversations_with_real_patches(
    twin: Twin, name: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorded requests once more, with files that are patches."""
    made = versions(model, ["a", "b"])
    small = {"a": make_patch(model, "a", [1, 2]), "b": make_patch(model, "b", [3])}
    import vectors

    data = padded(made["a"][1], 600)
    try:
        monkeypatch.setattr(vectors, "DATA", data)
        monkeypatch.setattr(vectors, "SHA", vectors.hashlib.sha256(data).digest())
        chunk = vectors.chunk

        def whole(name: str, off: int, content: bytes, **first: Any) -> dict[str, Any]:
            if content in (b"aaa", b"bb"):
                content = small[name[5]]
                first["len"] = len(content)
            return dict(chunk(name, off, content, **first))

        monkeypatch.setattr(vectors, "chunk", whole)
        answers = [
            (what, twin.same(packet, what), twin.generated() if what == "generate" else "")
            for what, packet, _ in vectors.CONVERSATIONS[name](vectors.Requests())
        ]
    finally:
        sys.modules.pop("vectors")
    good = {"upload": "last chunk", "resume": "last chunk", "patches": "activate a, b"}
    if name in good:
        (answer,) = [a for what, a, _ in answers if what == good[name]]
        assert answer == {"off": 600} or "ns" in answer


def padded(patch: bytes, size: int) -> bytes:
    """The patch with as much provenance as makes it that large."""
    plain = decode(patch, "p")
    for n in range(size):
        grown = encode(replace(plain, provenance={"note": "x" * n}))
        if len(grown) == size:
            return grown
    raise AssertionError(f"no patch of {size} bytes")


@both
@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_life(twin: Twin, model: Model, seed: int) -> None:
    done = wander(twin, model, 60, seed)
    assert {"push", "use", "rollback", "remove", "ask"} <= done.keys()


@both
def test_every_way_to_be_refused(twin: Twin, model: Model) -> None:
    """Files that do not fit, each with its rc and its sentence."""
    fit = make_patch(model, "p", range(9))
    plain = decode(fit, "p")
    signed = bytes.fromhex("d28443a10127a0") + fit
    files = {
        "misnamed": make_patch(model, "q", [1]),
        "another model": fit.replace(model.id, bytes(32)),
        "unbound": encode(replace(plain, model_id=None, crc=None)),
        "wrong crc": encode(replace(plain, crc=(plain.crc or 0) ^ 1)),
        "no such row": encode(replace(plain, rows=((0, 3, 256),))),
        "no such layer": encode(replace(plain, rows=((99, 3, 2),))),
        "no such bit": encode(replace(plain, bits=((0, 3, 2, 999),))),
        "version 2": fit.replace(b"\xa5\x00\x01", b"\xa5\x00\x02", 1),
        "truncated": fit[:-3],
        "a byte more": fit + b"\0",
        "text": b"buy milk",
        "a broken envelope": signed,
    }
    assert files["version 2"] != fit
    twin.push("p", fit)
    twin.ask(WRITE, BK_GROUP, 2, {"names": ["p"]})
    for what, data in files.items():
        answer = twin.push("p", data)
        assert "err" in answer and answer.get("detail"), what
        assert twin.ask(READ, BK_GROUP, 1, {})["patches"][0]["active"] is True, what
    assert twin.ask(READ, BK_GROUP, 6, {})["ok"] is True


@overlay
def test_a_signed_patch_is_taken_under_the_open_policy(twin: Twin, model: Model) -> None:
    """Also by a build without Ed25519, which takes the envelope off."""
    keys = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from bankai_edge.patch.sign import sign

    signed = sign(make_patch(model, "p", range(9)), keys.Ed25519PrivateKey.generate())
    assert "err" not in twin.push("p", signed)
    assert "ns" in twin.ask(WRITE, BK_GROUP, 2, {"names": ["p"]})
    twin.ask(READ, 8, 2, {"name": "/bkp/p.bkp"})
    assert "err" in twin.push("q", signed)  # the patch inside is named otherwise
    assert twin.ask(READ, BK_GROUP, 6, {})["ok"] is True


@both
def test_older_versions_are_refused(twin: Twin, model: Model) -> None:
    def numbered(sequence: int | None) -> bytes:
        rows = tuple((0, 3, row) for row in range(sequence or 1))
        return bound(model, Patch("p", rows=rows, sequence=sequence))

    assert "err" not in twin.push("p", numbered(5))
    assert "5 has been here" in twin.push("p", numbered(4))["detail"]
    assert "no sequence number" in twin.push("p", numbered(None))["detail"]
    assert "err" not in twin.push("p", numbered(6))
    twin.ask(WRITE, BK_GROUP, 4, {"name": "p"})
    assert "err" not in twin.push("p", numbered(1))  # under the open policy rm forgets


@both
def test_probes_of_a_patch_decide(twin: Twin, model: Model) -> None:
    """A wrong answer to a patch's own probe: the set from before is active, and it says which."""

    def probed(name: str, *canaries: tuple[str, str]) -> bytes:
        rows = tuple((0, 3, row) for row in range(0, 30, 3))
        return bound(model, Patch(name, rows=rows, canaries=canaries))

    twin.session.use([probed("p")])
    right = "".join(twin.session.generate("17+25=", max_tokens=8)).strip()
    twin.session.use([])
    assert right
    twin.push("good", probed("good", ("17+25=", right), ("17+25=", f" {right}\n")))
    twin.push("bad", probed("bad", ("17+25=", right), ("17+25=", "no such answer, ever")))
    twin.push("mute", probed("mute", ("", "x")))
    twin.push("long", probed("long", ("9" * 200, "x")))
    twin.push("q", probed("q", ('it\'s\n\x01\t\\ "1"', "Größe")))
    assert "ns" in twin.ask(WRITE, BK_GROUP, 2, {"names": ["good"]})
    for name in ("bad", "mute", "long", "q"):
        answer = twin.ask(WRITE, BK_GROUP, 2, {"names": ["good", name]})
        assert answer["err"]["rc"] == 17 and name in answer["detail"], answer
        assert twin.ask(READ, BK_GROUP, 0, {})["active"] == ["good"]
    # and a new version of an active patch that fails its probe is not stored
    answer = twin.push("good", probed("good", ("17+25=", "no such answer, ever")))
    assert answer["err"]["rc"] == 17
    assert twin.ask(WRITE, BK_GROUP, 7, {"prompt": "17+25="}) == {}
    twin.generated()


@overlay
def test_prompts(twin: Twin) -> None:
    """Text equal to the host's, whatever is asked; the context's end; what cannot be asked."""
    for prompt in (
        "17+25=", "turn on the kitchen light", "temp=87 limit=80", " ", "\u00a0\n", "Größe 漢字 🙂",
        "a" * 47, "a" * 200, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21",
        "<|im_end|>", "x<|endoftext|>y",
    ):  # fmt: skip
        for most in (1, 5, 1000):
            body = {"prompt": prompt, "max_tokens": most}
            if twin.ask(WRITE, BK_GROUP, 7, body) == {}:
                twin.generated()
    twin.generated()


@overlay
def test_serial_streams(twin: Twin) -> None:
    """Whole, cut, damaged and mixed frames: the packets in them are answered, in order."""
    vectors = json.loads((VECTORS / "framing.json").read_text())
    echo = SmpServer(MemoryDevice(), vectors["buf_size"])
    for case in vectors["streams"]:
        found = [bytes.fromhex(data) for kind, data in case["found"] if kind == "packet"]
        expected = [answer for packet in found if (answer := echo.handle(packet))]
        lines = sum(kind == "line" for kind, _ in case["found"])
        twin.wire.text = b""
        twin.wire.send(bytes.fromhex(case["stream"]) + b"\n")
        answers = twin.wire.packets(len(expected), 5)
        assert answers == expected, case["what"]
        if lines:
            twin.wire.text_comes(5)
            assert twin.wire.text, case["what"]


def test_the_reader_of_this_file_is_the_core_s() -> None:
    """What `found` says is what the core finds; else the test above would test nothing."""
    vectors = json.loads((VECTORS / "framing.json").read_text())
    reader = FrameReader(vectors["buf_size"])
    case = vectors["streams"][0]
    assert [[k, d.hex()] for k, d in reader.feed(bytes.fromhex(case["stream"]))] == case["found"]
