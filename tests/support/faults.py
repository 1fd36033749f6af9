"""Bad wires and what has to hold on them. Used by test_faults.py and tests/soak.py.

Each `run_*` returns what it did in numbers and raises AssertionError when the invariant breaks:
the device's store holds the old file or the new one, whole; the active set is the old one or the
one asked for; and a push that reports success has stored the very bytes.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from bankai_edge import _patch
from bankai_edge._link import FrameReader, frame_encode
from bankai_edge.agent.device import AgentDevice
from bankai_edge.agent.pty_line import PtyCable
from bankai_edge.agent.store import Store
from bankai_edge.errors import BankaiError
from bankai_edge.host.address import Address, parse_address
from bankai_edge.host.client import Client
from bankai_edge.host.transports import open_transport
from bankai_edge.model import Model, Session
from bankai_edge.patch import Patch, encode
from support.agents import Agent, make_patch
from support.direct import Direct


@dataclass
class Faults:
    """Chances of each fault, per byte."""

    drop: float = 0.0
    duplicate: float = 0.0
    flip: float = 0.0
    delay: float = 0.0  # a byte, and all behind it, arrive only with what is sent next

    @classmethod
    def all_at(cls, rate: float) -> Faults:
        """One fault in 1/rate bytes, the four kinds alike."""
        return cls(rate / 4, rate / 4, rate / 4, rate / 4)


@dataclass
class Tally:
    """What a run did."""

    bytes: int = 0
    faults: int = 0
    pushes: int = 0
    succeeded: int = 0
    said_no: int = 0
    notes: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        told = {k: v for k, v in vars(self).items() if k != "notes" and v} | self.notes
        return ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in told.items())


class Spoiler:
    """One direction of a bad line."""

    def __init__(self, chance: random.Random, faults: Faults, tally: Tally) -> None:
        self._chance, self._faults, self._tally = chance, faults, tally
        self._late = b""

    def carry(self, data: bytes) -> bytes:
        """What arrives of `data` now."""
        f, chance = self._faults, self._chance.random
        out = bytearray(self._late)
        self._late = b""
        self._tally.bytes += len(data)
        for i, byte in enumerate(data):
            if chance() < f.drop:
                self._tally.faults += 1
                continue
            if chance() < f.flip:
                self._tally.faults += 1
                byte ^= 1 << self._chance.randrange(8)
            out.append(byte)
            if chance() < f.duplicate:
                self._tally.faults += 1
                out.append(byte)
            if chance() < f.delay:
                self._tally.faults += 1
                self._late = data[i + 1 :]
                break
        return bytes(out)


class Board:
    """A real agent without its process: model, session, store and server, which can reboot."""

    def __init__(self, model: Model, root: Path) -> None:
        self.model, self.root = model, root
        self._session = Session(model)
        self.boot()

    def boot(self) -> None:
        """Start, or start again with nothing but what the store holds."""
        if hasattr(self, "store"):
            self.store.close()
        self.store = Store(self.root)
        self._session.use([])
        self.agent = AgentDevice(
            self._session, self.store, log=lambda _: None, on_reset=lambda: None
        )
        self.device = Direct(self.agent)
        self.reader = FrameReader(4096)

    def take(self, data: bytes) -> bytes:
        """Bytes from the line in; the bytes that go back."""
        out = b""
        for kind, content in self.reader.feed(data):
            answer = self.agent.packet(content) if kind == "packet" else b"unknown command\r\n"
            out += frame_encode(answer) if kind == "packet" and answer else answer
        return out

    def stored(self, name: str) -> bytes | None:
        """A stored patch's bytes."""
        return self.store.read(name) if self.store.find(name) else None

    @property
    def active(self) -> list[str]:
        """The active set, as the device tells it."""
        active = self.device.info()["active"]
        assert isinstance(active, list)
        return active


class BadLine:
    """A transport to a board over a spoilt serial line. Nothing waits: a lost answer is at once
    a time-out. `cut_after` bytes towards the board, everything is silence; `reboot_after` bytes,
    the board starts again.
    """

    label = "bad line"
    resend_s: float | None = None
    repeats_safely = False
    packet_bytes = 65533

    def __init__(self, board: Board, there: Spoiler, back: Spoiler) -> None:
        self.board, self._there, self._back = board, there, back
        self._reader = FrameReader(65533)
        self._packets: list[bytes] = []
        self.sent_bytes = self.received_bytes = 0
        self.cut_after: int | None = None
        self.reboot_after: int | None = None

    def send(self, packet: bytes) -> None:
        data = frame_encode(packet)
        if self.cut_after is not None:
            data = data[: max(0, self.cut_after - self.sent_bytes)]
        if self.reboot_after is not None and self.sent_bytes + len(data) > self.reboot_after:
            self._cross(data[: self.reboot_after - self.sent_bytes])
            data = data[self.reboot_after - (self.sent_bytes) :]
            self.reboot_after = None
            self.board.boot()
        self._cross(data)

    def _cross(self, data: bytes) -> None:
        self.sent_bytes += len(data)
        answer = self.board.take(self._there.carry(data))
        if self.cut_after is not None and self.sent_bytes >= self.cut_after:
            return
        arrived = self._back.carry(answer)
        self.received_bytes += len(arrived)
        self._packets += [c for kind, c in self._reader.feed(arrived) if kind == "packet"]

    def receive(self, timeout_s: float) -> bytes | None:
        return self._packets.pop(0) if self._packets else None

    def reopen(self) -> bool:
        return False

    def close(self) -> None:
        pass


def scattered(model: Model, name: str, seed: object, flips: int = 400) -> bytes:
    """A patch of single bits without a pattern; 400 of them are some 600 bytes."""
    chance = random.Random(str(seed))
    places = {(0, 4, chance.randrange(200), chance.randrange(128)) for _ in range(flips)}
    patch = Patch(name=name, bits=tuple(sorted(places)))
    crc = _patch.row_crc(model.core, encode(patch))
    return encode(replace(patch, model_id=model.id, crc=crc))


class Bench:
    """A board with two patches of one name, old and new, and one that stays active."""

    def __init__(self, model: Model, root: Path) -> None:
        self.board = Board(model, root)
        self.old = make_patch(model, "p", range(5))
        self.new = scattered(model, "p", 1)
        other = make_patch(model, "other", range(50, 60))
        self.files = {"p": self.new, "other": other}
        with self.client() as client:
            client.push("other", other)

    def client(
        self,
        faults: Faults | None = None,
        seed: int = 0,
        tally: Tally | None = None,
        tries: int = 3,
    ) -> Client:
        tally = tally or Tally()
        chance = random.Random(seed)
        spoil = [Spoiler(chance, faults or Faults(), tally) for _ in range(2)]
        client = Client(BadLine(self.board, *spoil), timeout_s=0.001, tries=tries)
        client._buf_size = 180  # several chunks
        return client

    def reset(self, overwrite: bool) -> None:
        """The old file and `other` active, or no file `p` at all."""
        self.board.agent.drop_upload()
        self.board.reader.reset()
        with self.client() as client:
            client.activate(["other"])
            if overwrite:
                client.push("p", self.old)
            elif self.board.stored("p") is not None:
                client.remove("p")

    def check(self, before: bytes | None, asked: list[str]) -> None:
        """The invariant."""
        stored = self.board.stored("p")
        assert stored in (before, self.new), "the store holds neither the old file nor the new one"
        assert self.board.active in (["other"], asked), f"active: {self.board.active}"
        assert self.board.stored("other") == self.files["other"]


@contextmanager
def no_patience() -> Iterator[None]:
    """Clients that wait for nobody."""
    from bankai_edge.host import client as module

    kept = module.SLOW_TIMEOUT_S, module.BUSY_S
    module.SLOW_TIMEOUT_S, module.BUSY_S = 0.001, 0.0
    try:
        yield
    finally:
        module.SLOW_TIMEOUT_S, module.BUSY_S = kept


def run_cuts(
    model: Model, root: Path, *, every: int = 1, reboot: bool = False, overwrite: bool = True
) -> Tally:
    """Cut the line, or reboot the board, after each byte of push --use; then finish the job."""
    tally = Tally()
    bench = Bench(model, root)
    with no_patience():
        bench.reset(overwrite)
        with bench.client() as client:
            client.push("p", bench.new)
            client.activate(["p"])
            total = client.transport.sent_bytes
        for cut in range(0, total, every):
            bench.reset(overwrite)
            before = bench.board.stored("p")
            client = bench.client()
            line = client.transport
            assert isinstance(line, BadLine)
            if reboot:
                line.reboot_after = cut
            else:
                line.cut_after = cut
            tally.pushes += 1
            try:
                client.push("p", bench.new)
                client.activate(["p"])
                tally.succeeded += 1
                assert bench.board.stored("p") == bench.new and bench.board.active == ["p"]
            except BankaiError:
                tally.said_no += 1
            bench.check(before, ["p"])
            if not reboot:
                bench.board.agent.drop_upload() if cut % 2 else None
            with bench.client() as again:
                again.push("p", bench.new)
                again.activate(["p"])
            assert bench.board.stored("p") == bench.new and bench.board.active == ["p"]
    tally.notes["bytes cut at"] = tally.pushes
    return tally


def run_noise(model: Model, root: Path, *, rate: float, pushes: int, seed: int = 1) -> Tally:
    """Push and activate over a line with all four faults at `rate` a byte, then off."""
    tally = Tally()
    bench = Bench(model, root)
    with no_patience():
        for i in range(pushes):
            overwrite = bool(i % 2)
            bench.reset(overwrite)
            before = bench.board.stored("p")
            client = bench.client(Faults.all_at(rate), seed * 100_000 + i, tally, tries=40)
            tally.pushes += 1
            try:
                client.push("p", bench.new)
                assert bench.board.stored("p") == bench.new, "success was told of other bytes"
                client.activate(["p"])
                assert bench.board.active == ["p"]
                tally.succeeded += 1
            except BankaiError:
                tally.said_no += 1
            bench.check(before, ["p"])
    return tally


class NoisyCable(PtyCable):
    """Two ptys joined by a line that spoils bytes both ways, in real time."""

    def __init__(self, faults: Faults, seed: int, tally: Tally) -> None:
        chance = random.Random(seed)
        self._spoilers: dict[int, Spoiler] = {}
        self._make = lambda: Spoiler(chance, faults, tally)
        super().__init__()

    def _carry(self, source: int, data: bytes) -> None:
        spoiler = self._spoilers.setdefault(source, self._make())
        super()._carry(source, spoiler.carry(data))


def run_pty(
    model_path: Path, store: Path, *, rate: float, pushes: int, baud: int = 115200, seed: int = 1
) -> Tally:
    """Pushes by real time-outs to a real agent process at the other end of a noisy cable."""
    tally = Tally()
    model = Model(model_path)
    names = ("a", "b")
    patches = {name: scattered(model, name, name) for name in names}
    with (
        NoisyCable(Faults.all_at(rate), seed, tally) as cable,
        Agent(model_path, store, "--serial", cable.agent_path, "--unix", store.parent / "sock"),
    ):
        place = Address("unix", str(store.parent / "sock"))  # where the truth is told
        for i in range(pushes):
            name = names[i % 2]
            with Client(open_transport(place)) as judge:
                judge.deactivate()
                if judge.sha256(name) is not None:
                    judge.remove(name)
            line = open_transport(Address("serial", cable.host_path, baud=baud))
            with Client(line, timeout_s=0.15, tries=20) as client:
                tally.pushes += 1
                try:
                    client.push(name, patches[name])
                    client.activate([name])
                    tally.succeeded += 1
                    done = True
                except BankaiError:
                    tally.said_no += 1
                    done = False
            with Client(open_transport(place)) as judge:
                assert judge.info()["active"] in ([[name]] if done else [[name], []])
                assert judge.has(name, patches[name]) or (not done and not judge.sha256(name))
                assert judge.verify()["ok"]
    return tally


@dataclass
class Weather:
    """What a network does to datagrams: chances a datagram, and how late a late one is."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    late_s: float = 0.02


class UdpRelay:
    """Datagrams between hosts and one device, through bad weather. Loopback only."""

    def __init__(self, device_port: int, weather: Weather, seed: int) -> None:
        self._weather, self._chance = weather, random.Random(seed)
        self._lock = threading.Lock()
        self._device = ("127.0.0.1", device_port)
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self.port: int = self._front.getsockname()[1]
        self._backs: dict[object, socket.socket] = {}
        self._closed = False
        self.carried = self.lost = self.repeated = self.late = 0
        self._run(self._serve)

    @staticmethod
    def _run(work: Callable[..., None], *args: object) -> None:
        threading.Thread(target=work, args=args, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                packet, host = self._front.recvfrom(65536)
            except OSError:
                return
            if host not in self._backs:
                back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                back.connect(self._device)
                self._backs[host] = back
                self._run(self._answers, back, host)
            self._blow(packet, self._backs[host].send)

    def _answers(self, back: socket.socket, host: tuple[str, int]) -> None:
        while not self._closed:
            try:
                packet = back.recv(65536)
            except ConnectionRefusedError:
                continue
            except OSError:
                return
            self._blow(packet, lambda p: self._front.sendto(p, host))

    def _blow(self, packet: bytes, send: Callable[[bytes], int]) -> None:
        w = self._weather
        with self._lock:
            lost, twice, late = (
                self._chance.random() < p for p in (w.loss, w.duplicate, w.reorder)
            )
            again_s = self._chance.random() * w.late_s
            self.carried += 1
            self.lost += lost
            self.repeated += twice
            self.late += late
        if not lost:
            self._send_later(packet, send, w.late_s if late else 0.0)
        if twice:
            self._send_later(packet, send, again_s)

    def _send_later(self, packet: bytes, send: Callable[[bytes], int], delay_s: float) -> None:
        def go() -> None:
            with suppress(OSError):
                send(packet)

        if delay_s:
            timer = threading.Timer(delay_s, go)
            timer.daemon = True
            timer.start()
        else:
            go()

    def close(self) -> None:
        self._closed = True
        self._front.close()
        for back in self._backs.values():
            with suppress(OSError):
                back.shutdown(socket.SHUT_RDWR)
            back.close()


def run_udp(
    place: str,
    patches: dict[str, bytes],
    *,
    rounds: int,
    timeout_s: float = 2.0,
    tries: int = 3,
) -> Tally:
    """Push each patch and switch to it in turn at a UDP address; never may another be active."""
    tally = Tally()
    names = sorted(patches)
    for i in range(rounds):
        name = names[i % len(names)]
        with Client(open_transport(parse_address(place)), timeout_s=timeout_s, tries=tries) as c:
            tally.pushes += 1
            try:
                if i >= len(names):
                    c.deactivate()
                    c.remove(name)
                c.push(name, patches[name])
                c.activate([name])
                time.sleep(0.03)  # time for what is late to arrive
                assert c.info()["active"] == [name], "a late datagram changed the active set"
                assert c.has(name, patches[name])
                tally.succeeded += 1
            except BankaiError:
                tally.said_no += 1
            tally.bytes += c.transport.sent_bytes + c.transport.received_bytes
    return tally


def run_two_hosts(place: str, patches: list[bytes], *, rounds: int) -> Tally:
    """Two hosts push different bytes under one name at once, to one device, again and again."""
    tally = Tally()
    lock = threading.Lock()

    def host(mine: bytes) -> None:
        for _ in range(rounds):
            with Client(open_transport(parse_address(place))) as client:
                client._buf_size = 200  # many chunks, so that they meet
                try:
                    client.push("p", mine)
                    outcome = "succeeded"
                except BankaiError:
                    outcome = "said_no"
            with lock:
                tally.pushes += 1
                setattr(tally, outcome, getattr(tally, outcome) + 1)

    threads = [threading.Thread(target=host, args=(patch,)) for patch in patches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Client(open_transport(parse_address(place))) as client:
        assert any(client.has("p", patch) for patch in patches), "a mixture was stored"
        assert client.verify()["ok"]
    return tally
