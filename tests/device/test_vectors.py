"""Every port answers the recorded conversations, byte by byte."""

from __future__ import annotations

from pathlib import Path

from bankai_edge._link import FrameReader
from support.conversations import CONVERSATIONS, load, replay
from support.ports import OnLine, Port, Setting
from support.ports.table import on


@on()
def test_the_recorded_conversations(port: Port, tmp_path: Path, nano_path: Path) -> None:
    """Each with a device that has an empty store."""
    names = [name for name in CONVERSATIONS if name != "clock" or "clock" in port.can]
    assert len(names) >= 10
    for name in names:
        folder = tmp_path / name
        folder.mkdir()
        with port.start(Setting(folder, nano_path)) as device:
            replay(device, name)


@on("line")
def test_serial_streams(running: OnLine) -> None:
    """Whole, cut, damaged and mixed frames: the packets in them are answered, in order."""
    for case in load("framing")["streams"]:
        found = [bytes.fromhex(data) for kind, data in case["found"] if kind == "packet"]
        expected = [echo(packet) for packet in found]
        typed = any(kind == "line" for kind, _ in case["found"])
        stream = bytes.fromhex(case["stream"]) + b"\n"
        answers, text = running.stream(stream, len(expected), typed)
        assert answers == expected and bool(text) >= typed, case["what"]


def echo(packet: bytes) -> bytes:
    """The answer to {"d": text}: {"r": text} in a map without a length."""
    body = b"\xbf\x61r" + packet[11:] + b"\xff"
    return bytes([packet[0] + 1, 0, *len(body).to_bytes(2, "big")]) + packet[4:8] + body


def test_the_reader_of_this_file_is_the_core_s() -> None:
    """What `found` says is what the core finds; else the test above would test nothing."""
    content = load("framing")
    reader = FrameReader(content["buf_size"])
    case = content["streams"][0]
    assert [[k, d.hex()] for k, d in reader.feed(bytes.fromhex(case["stream"]))] == case["found"]
