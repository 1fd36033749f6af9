"""How long the link takes: on the wire of a slow line, over loopback, and to start a command."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bankai_edge.agent.pty_line import PtyCable
from bankai_edge.host.address import parse_address
from bankai_edge.host.client import Client
from bankai_edge.host.transports import open_transport
from bankai_edge.model import Model
from support.agents import COMMAND, HERE, Agent
from support.faults import BadLine, Bench, scattered

BAUD = 115200
BITS_A_BYTE = 10  # 8N1
# A busy machine may take longer; the figures printed are what was measured.
SLACK = 5


def patch_of(model: Model, size: int) -> bytes:
    """A patch of about `size` bytes."""
    data = b""
    flips = 100
    while len(data) < size:
        data = scattered(model, "p", 7, flips)
        flips += 20
    return data


def test_a_kilobyte_over_a_line_of_115200_baud(nano_path: Path, tmp_path: Path) -> None:
    """Bytes each way do not overlap (one request at a time), so their sum is the wire's time."""
    model = Model(nano_path)
    bench = Bench(model, tmp_path)
    data = patch_of(model, 1024)
    with bench.client() as client:
        client._buf_size = None  # what the device says
        assert isinstance(client.transport, BadLine)
        client.push("p", data)
        carried = client.transport.sent_bytes + client.transport.received_bytes
        client.activate(["p"])
        with_use = client.transport.sent_bytes + client.transport.received_bytes
    wire_s, use_s = (n * BITS_A_BYTE / BAUD for n in (carried, with_use))
    print(
        f"push of {len(data)} bytes at {BAUD} baud: {carried} bytes on the wire, "
        f"{wire_s:.3f} s; with use {use_s:.3f} s"
    )
    assert wire_s <= 0.35


def test_a_kilobyte_over_loopback_udp(nano_path: Path, tmp_path: Path) -> None:
    model = Model(nano_path)
    patches = [patch_of(model, 1024)]
    times = []
    with Agent(nano_path, tmp_path / "store", "--udp", "0") as agent:
        address = parse_address(agent.place("udp"))
        for _ in range(9):
            with Client(open_transport(address)) as client:
                start = time.perf_counter()
                client.push("p", patches[0])
                times.append(time.perf_counter() - start)
                client.remove("p")
    best, median = min(times), sorted(times)[len(times) // 2]
    print(f"push of 1 KB over loopback UDP: best {best * 1000:.1f}, median {median * 1000:.1f} ms")
    assert best <= 0.020 * SLACK


def test_a_switch_over_a_pty(nano_path: Path, tmp_path: Path) -> None:
    data = scattered(Model(nano_path), "p", 7)
    times = []
    with (
        PtyCable() as cable,
        Agent(nano_path, tmp_path / "store", "--serial", cable.agent_path),
        Client(open_transport(parse_address(cable.host_path))) as client,
    ):
        client.push("p", data)
        for i in range(41):
            start = time.perf_counter()
            client.activate([] if i % 2 else ["p"])
            times.append(time.perf_counter() - start)
    best, median = min(times), sorted(times)[len(times) // 2]
    print(f"use, round trip over a pty: best {best * 1000:.1f}, median {median * 1000:.1f} ms")
    assert best <= 0.005 * SLACK


@pytest.mark.parametrize("verb", ["list", "push", "use", "devices"])
def test_control_commands_start_fast(verb: str) -> None:
    """None of them imports NumPy, model code or anything else that takes its time."""
    heavy = {"numpy", "bankai_edge._engine", "bankai_edge.model", "rich", "zeroconf", "serial",
             "concurrent.futures", "tomllib"}  # fmt: skip
    code = (
        f"import sys; sys.argv = ['bankai-edge', {verb!r}, '--help']\n"
        "from bankai_edge.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('heavy:', sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE, env=os.environ
    )
    assert done.stdout.endswith("heavy: []\n"), done.stdout + done.stderr

    times, busy = [], []
    for _ in range(5):
        start, before = time.perf_counter(), cpu_of_children_s()
        subprocess.run([*COMMAND, verb, "--help"], capture_output=True, cwd=HERE)
        times.append(time.perf_counter() - start)
        busy.append(cpu_of_children_s() - before)
    print(f"{verb} starts in {min(times) * 1000:.0f} ms, {min(busy) * 1000:.0f} ms of them CPU")
    assert min(times) <= 0.120 * SLACK and min(busy) <= 0.120 * 2


def cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
