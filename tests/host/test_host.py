"""The host side: addresses, and the client against the core's own server on a bad wire."""

from __future__ import annotations

import hashlib
import os
import random
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from bankai_edge._device import DeviceError
from bankai_edge._link import RC
from bankai_edge.errors import (
    BankaiError,
    DeviceTimeoutError,
    IncompatibleError,
    NoDeviceError,
    UsageError,
)
from bankai_edge.host.address import (
    Address,
    local_socket_candidates,
    local_socket_path,
    parse_address,
    split_host_port,
)
from bankai_edge.host.client import Client, RefusedError
from bankai_edge.host.serial_port import open_serial
from bankai_edge.host.transports import open_transport, open_unix
from support.direct import Packets
from support.link_device import MemoryDevice, bkp


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/dev/ttyUSB0", Address("serial", "/dev/ttyUSB0")),
        ("serial:/dev/ttyACM0", Address("serial", "/dev/ttyACM0")),
        ("serial:/dev/ttyS1@921600", Address("serial", "/dev/ttyS1", baud=921600)),
        ("serial:/dev/by@id/x", None),
        ("serial:/dev/x@0", None),
        ("serial:", None),
        ("udp://kitchen.local", Address("udp", "kitchen.local", port=1337)),
        ("udp://10.0.0.7:99", Address("udp", "10.0.0.7", port=99)),
        ("udp://[fe80::1]:99", Address("udp", "fe80::1", port=99)),
        ("udp://[::1]", Address("udp", "::1", port=1337)),
        ("udp://host:65536", None),
        ("udp://host:x", None),
        ("udp://", None),
        ("unix:/run/x.sock", Address("unix", "/run/x.sock")),
        ("unix:///run/x.sock", Address("unix", "/run/x.sock")),
        ("unix:", None),
        ("serial:usb:0001A", Address("serial", "usb:0001A")),
        ("serial:usb:0001A@9600", Address("serial", "usb:0001A", baud=9600)),
        ("ssh://me@host", Address("ssh", "me@host", port=0)),
        ("ssh://host:2222/run/x.sock", Address("ssh", "host", port=2222, path="/run/x.sock")),
        ("ssh://me@[fe80::1]:22", Address("ssh", "me@fe80::1", port=22)),
        ("ssh://-oProxyCommand=x", None),
        ("ssh://-l@host", None),
        ("ssh://me@", None),
        ("ssh://host:x", None),
        ("tcp://host", Address("tcp", "host", port=1337)),
        ("tcp://[::1]:9", Address("tcp", "::1", port=9)),
        ("tcp://", None),
        ("ttyUSB0", None),
        ("", None),
    ],
)
def test_addresses(text: str, address: Address | None) -> None:
    if address is None:
        with pytest.raises(UsageError, match="expected"):
            parse_address(text)
    else:
        assert parse_address(text) == address
        assert parse_address(str(address)) == address


def test_a_bare_path_of_a_socket_is_a_unix_address(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        assert parse_address(str(tmp_path / "s")) == Address("unix", str(tmp_path / "s"))


def test_host_and_port() -> None:
    assert split_host_port("x", "host:0") == ("host", 0)
    assert split_host_port("x", ":7") == ("", 7)


def test_the_local_socket_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert local_socket_path() == tmp_path / "bankai-edge.sock"
    assert tmp_path / "bankai-edge.sock" not in local_socket_candidates()  # nothing is there
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(os, "geteuid", lambda: 4242424)
    folder = Path("/tmp/bankai-edge-4242424")
    try:
        folder.mkdir(mode=0o777)
        with pytest.raises(UsageError, match="not this user's alone"):
            local_socket_path()
        assert local_socket_candidates() in ([], [Path("/run/bankai-edge.sock")])
    finally:
        folder.rmdir()


class Wire:
    """A transport straight into a server; `lose` and `answer` spoil what passes."""

    label = "wire"
    resend_s: float | None = None
    repeats_safely = False
    packet_bytes = 65533

    def __init__(self, server: Packets) -> None:
        self.server = server
        self.lose_request: Callable[[], bool] = lambda: False
        self.lose_answer: Callable[[], bool] = lambda: False
        self.before: list[bytes] = []
        self.sent_bytes = 0
        self.received_bytes = 0
        self.answers: deque[bytes] = deque()

    def send(self, packet: bytes) -> None:
        self.sent_bytes += len(packet)
        if not self.lose_request():
            answer = self.server.packet(packet)
            self.answers.extend(self.before)
            if not self.lose_answer():
                self.answers.append(answer)

    def receive(self, timeout_s: float) -> bytes | None:
        return self.answers.popleft() if self.answers else None

    def reopen(self) -> bool:
        return False

    def close(self) -> None:
        pass


@pytest.fixture
def device() -> MemoryDevice:
    return MemoryDevice(256)


@pytest.fixture
def wire(device: MemoryDevice) -> Wire:
    return Wire(device)


@pytest.fixture
def client(wire: Wire) -> Client:
    return Client(wire, timeout_s=0.001)


def test_every_size_arrives_whole(client: Client, device: MemoryDevice) -> None:
    for size in [77, 90, 100, 110, *range(120, 260, 7), 4096, 65537, 70000]:
        data = bkp("big", size)
        seen: list[int] = []
        report = client.push("big", data, progress=seen.append)
        assert device.files["big"] == data
        assert report.uploaded_bytes == size and report.sha256 == hashlib.sha256(data).hexdigest()
        assert seen == sorted(seen) and seen[-1] == size
        assert client.push("big", data).uploaded_bytes == 0


def test_no_packet_exceeds_what_the_device_takes(
    client: Client, wire: Wire, device: MemoryDevice
) -> None:
    sizes: list[int] = []

    class Spy:
        def packet(self, packet: bytes) -> bytes:
            sizes.append(len(packet))
            return device.packet(packet)

    wire.server = Spy()
    client.push("a" * 32, bkp("a" * 32, 3000))
    assert max(sizes) <= 256
    assert max(sizes) >= 252  # and no room is wasted


@pytest.mark.parametrize("seed", range(20))
def test_a_push_over_a_lossy_wire_is_right_or_says_so(
    wire: Wire, device: MemoryDevice, seed: int
) -> None:
    """Requests and answers are lost, and old answers come again, one time in five each."""
    chance = random.Random(seed)
    wire.lose_request = lambda: chance.random() < 0.2
    wire.lose_answer = lambda: chance.random() < 0.2
    data = bkp("lossy", 2000)
    client = Client(wire, timeout_s=0.001, tries=4)
    wire.before = [b"\x03\x00\x00\x01\x42\x42\x00\x00\xa0", b"short", b""]  # not for us
    for _ in range(20):
        try:
            client.push("lossy", data)
            break
        except DeviceTimeoutError:
            assert device.files.get("lossy") in (None, data)
    assert device.files["lossy"] == data


def test_an_interrupted_upload_goes_on_where_it_stopped(
    client: Client, wire: Wire, device: MemoryDevice
) -> None:
    data = bkp("cut", 5000)
    budget = 3000
    wire.lose_request = lambda: wire.sent_bytes > budget
    with pytest.raises(DeviceTimeoutError):
        client.push("cut", data)
    wire.lose_request = lambda: False
    sent_before = wire.sent_bytes
    assert Client(wire, timeout_s=0.001).push("cut", data).uploaded_bytes == 5000
    assert device.files["cut"] == data
    assert wire.sent_bytes - sent_before < 5000  # less than the whole file again


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("WRONG_MODEL", IncompatibleError),
        ("BAD_CRC", IncompatibleError),
        ("RANGE", IncompatibleError),
        ("VERSION", IncompatibleError),
        ("UNBOUND", IncompatibleError),
        ("MALFORMED", IncompatibleError),
        ("NO_SPACE", RefusedError),
        ("TIMEOUT", DeviceTimeoutError),
        ("IO", RefusedError),
    ],
)
def test_refusals_keep_their_kind_and_their_detail(
    client: Client, device: MemoryDevice, name: str, kind: type[BankaiError]
) -> None:
    device.store.refusal = DeviceError(RC[name], "the device's own words")
    with pytest.raises(kind, match="the device's own words") as caught:
        client.push("refused", bkp("refused"))
    assert type(caught.value) is kind
    assert device.files == {}


def test_commands(client: Client, device: MemoryDevice) -> None:
    for i in range(40):  # more than one answer holds
        device.files[f"patch-{i:02}"] = bkp(f"patch-{i:02}", 100 + i)
    device.session.text, device.session.step = "a ± answer", 3
    with pytest.raises(RefusedError, match="no previous set"):
        client.rollback()
    assert client.activate(["patch-01", "patch-07"]) == 1234
    assert device.active == ["patch-01", "patch-07"]
    stored = client.list()
    assert [(p.name, p.size_bytes) for p in stored] == [
        (f"patch-{i:02}", 100 + i) for i in range(40)
    ]
    assert [p.name for p in stored if p.active] == ["patch-01", "patch-07"]
    assert client.echo("hello ±") == "hello ±"
    assert client.info()["model"] == "parrot"
    assert client.verify()["ok"] is True
    assert client.deactivate() == 1234 and device.active == []
    client.remove("patch-00")
    assert len(client.list()) == 39
    with pytest.raises(RefusedError, match="a name must match"):
        client.remove("a/b")
    answer = client.generate("prompt")
    assert "".join(answer) == "a ± answer"
    assert (answer.tokens, answer.elapsed_us) == (7, 1500)


def test_what_must_not_happen_twice_is_asked_once(client: Client, wire: Wire) -> None:
    requests: list[int] = []
    wire.lose_request = lambda: requests.append(1) is None
    for act in (client.rollback, lambda: client.generate("prompt"), client.reset):
        requests.clear()
        with pytest.raises(DeviceTimeoutError):
            act()
        assert len(requests) == 1
    requests.clear()
    with pytest.raises(DeviceTimeoutError):
        client.info()
    assert len(requests) == 3


def test_an_answer_without_its_keys_is_no_traceback(client: Client, wire: Wire) -> None:
    class Empty:
        def packet(self, packet: bytes) -> bytes:
            return bytes([packet[0] | 1, 0, 0, 1]) + packet[4:8] + b"\xa0"

    wire.server = Empty()
    for act in (client.rollback, client.list, lambda: client.push("x", b"data")):
        with pytest.raises(BankaiError, match="answered without"):
            act()


def test_nothing_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with (
        Client(open_transport(Address("udp", "127.0.0.1", port=port)), timeout_s=0.2) as client,
        pytest.raises(NoDeviceError, match="nothing listens"),
    ):
        client.info()


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoDeviceError, match="no agent answers"):
        open_unix(str(tmp_path / "none"))
    with pytest.raises(NoDeviceError, match="no agent answers"):
        open_unix("/" + "x" * 200)


def test_a_file_is_no_serial_port(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NoDeviceError, match="not a serial port"):
        open_serial(str(tmp_path / "file"), 115200)
    with pytest.raises(NoDeviceError, match=r"cannot be opened|not a serial port"):
        open_serial("/dev/null", 115200)
