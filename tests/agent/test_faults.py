"""A bad line loses nothing and activates nothing wrong. tests/soak.py runs the long form."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankai_edge.model import Model
from support.agents import HERE, Agent
from support.faults import (
    UdpRelay,
    Weather,
    run_cuts,
    run_noise,
    run_pty,
    run_two_hosts,
    run_udp,
    scattered,
)


@pytest.fixture(scope="module")
def model(nano_path: Path) -> Model:
    return Model(nano_path)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: these tests are about the line, not the disk."""
    import shutil
    import tempfile

    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("overwrite", [False, True], ids=["fresh", "overwrite"])
def test_a_cut_at_every_byte(model: Model, disk: Path, overwrite: bool) -> None:
    tally = run_cuts(model, disk, overwrite=overwrite)
    print(f"cuts: {tally}")
    assert tally.pushes > 500 and tally.said_no == tally.pushes


def test_a_reboot_at_every_few_bytes(model: Model, disk: Path) -> None:
    """The board forgets its upload; the push begins again by itself and succeeds."""
    tally = run_cuts(model, disk, reboot=True, every=5)
    print(f"reboots: {tally}")
    assert tally.pushes > 100 and tally.succeeded > 0.9 * tally.pushes


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2])
def test_noise(model: Model, disk: Path, rate: float) -> None:
    """Bytes dropped, doubled, flipped and late: one such fault in 1/rate bytes."""
    tally = run_noise(model, disk, rate=rate, pushes=60)
    print(f"noise {rate:g}: {tally}")
    assert tally.faults > 0 and tally.succeeded >= 0.9 * tally.pushes


def test_noise_that_nothing_gets_through(model: Model, disk: Path) -> None:
    """Then the push says so, and the invariant holds all the same."""
    tally = run_noise(model, disk, rate=0.1, pushes=30)
    print(f"noise 0.1: {tally}")
    assert tally.said_no >= 25


def test_noise_between_real_processes(nano_path: Path, disk: Path) -> None:
    tally = run_pty(nano_path, disk / "store", rate=2e-3, pushes=4)
    print(f"noisy pty: {tally}")
    assert tally.faults and tally.succeeded >= 3


@pytest.fixture(scope="module")
def patches(model: Model) -> dict[str, bytes]:
    return {name: scattered(model, name, name) for name in ("a", "b")}


@pytest.mark.parametrize("loss", [0.01, 0.1, 0.3])
def test_udp_in_bad_weather(
    nano_path: Path, disk: Path, patches: dict[str, bytes], loss: float
) -> None:
    """Datagrams lost, repeated and late on both ways, through a relay on loopback."""
    with Agent(nano_path, disk / "store", "--udp", "0") as agent:
        relay = UdpRelay(agent.udp_port, Weather(loss, 0.1, 0.1), seed=1)
        rounds = 3 if loss > 0.2 else 6
        tally = run_udp(f"udp://127.0.0.1:{relay.port}", patches, rounds=rounds)
        relay.close()
    print(
        f"udp loss {loss:.0%}: {tally}; of {relay.carried} datagrams {relay.lost} lost, "
        f"{relay.repeated} repeated, {relay.late} late"
    )
    assert tally.succeeded >= rounds - 1 and relay.repeated and relay.late


def test_udp_through_netem(nano_path: Path, disk: Path, patches: dict[str, bytes]) -> None:
    """The kernel's own bad weather, in a network namespace that only this test's child sees."""
    for name, data in patches.items():
        (disk / f"{name}.bkp").write_bytes(data)
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "support.netem", str(nano_path), str(disk)],
        capture_output=True, text=True, timeout=120, cwd=HERE.parent, env=os.environ,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    print(done.stdout)


def test_two_hosts_push_at_once(nano_path: Path, disk: Path, model: Model) -> None:
    both = [scattered(model, "p", i) for i in (1, 2)]
    with Agent(nano_path, disk / "store", "--tcp", "0") as agent:
        tally = run_two_hosts(agent.place("tcp"), both, rounds=8)
    print(f"two hosts: {tally}")
    assert tally.succeeded + tally.said_no == 16 and tally.succeeded >= 12
