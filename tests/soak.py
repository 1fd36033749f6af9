"""Everything that the link and the store have to survive, in one command, with figures.

    python tests/soak.py --short        what CI runs, under three minutes
    python tests/soak.py                the long form, about two hours
    python tests/soak.py noise kill     some parts only

Run it beside an installed bankai-edge, from anywhere. Each part prints what it did, and the first
broken invariant ends it with a traceback. The parts are functions of tests/: what CI tests in
small is what runs here in large.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
sys.path.append(str(ROOT / "tools/check"))

from bankai_edge.model import Model  # noqa: E402
from bankai_edge.shipped import NANO  # noqa: E402
from support import agents, endurance, faults, install_cut, power_cut  # noqa: E402
from support.tamper import POLICIES, Board, public, run_tampering  # noqa: E402

SKIPPED = 77


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder, in memory where there is one."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def cuts(short: bool) -> Iterator[str]:
    """The line cut, and the board rebooted, after every byte of a push."""
    model = Model(NANO)
    for overwrite in (False, True):
        for reboot in (False, True):
            with folder() as at:
                every = 3 if short and reboot else 1
                tally = faults.run_cuts(model, at, reboot=reboot, overwrite=overwrite, every=every)
            what = "reboot" if reboot else "cut"
            yield f"{what}, {'overwriting' if overwrite else 'fresh'}: {tally}"


def noise(short: bool) -> Iterator[str]:
    """Bytes dropped, doubled, flipped and late."""
    model = Model(NANO)
    for rate in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2):
        with folder() as at:
            yield f"1 in {1 / rate:.0f}: " + str(
                faults.run_noise(model, at, rate=rate, pushes=50 if short else 4000)
            )
    for rate in (1e-3, 5e-3):
        with folder() as at:
            tally = faults.run_pty(NANO, at / "s", rate=rate, pushes=4 if short else 200)
            yield f"between processes, 1 in {1 / rate:.0f}: {tally}"


def udp(short: bool) -> Iterator[str]:
    """Datagrams lost, repeated, late: through a relay, and by the kernel's netem where it can."""
    model = Model(NANO)
    patches = {name: faults.scattered(model, name, name) for name in ("a", "b")}
    for loss in (0.01, 0.1) if short else (0.01, 0.05, 0.1, 0.2, 0.3):
        with folder() as at, agents.Agent(NANO, at / "store", "--udp", "0") as agent:
            relay = faults.UdpRelay(agent.udp_port, faults.Weather(loss, 0.1, 0.1), seed=2)
            place = f"udp://127.0.0.1:{relay.port}"
            tally = faults.run_udp(place, patches, rounds=8 if short else 200)
            relay.close()
            yield (
                f"loss {loss:.0%}: {tally}; of {relay.carried:,} datagrams {relay.lost:,} lost, "
                f"{relay.repeated:,} repeated, {relay.late:,} late"
            )
    with folder() as at:
        for name, data in patches.items():
            (at / f"{name}.bkp").write_bytes(data)
        words = ["unshare", "--net", sys.executable, "-m", "support.netem", str(NANO), str(at)]
        done = subprocess.run(
            [*words, "4" if short else "50"], capture_output=True, text=True, cwd=TESTS
        )
    if done.returncode == SKIPPED:
        yield done.stderr.strip().splitlines()[-1]
    elif done.returncode:
        raise AssertionError(done.stderr)
    yield from done.stdout.splitlines()


def hosts(short: bool) -> Iterator[str]:
    """Two hosts pushing at once, under one name."""
    model = Model(NANO)
    both = [faults.scattered(model, "p", seed) for seed in (1, 2)]
    with folder() as at, agents.Agent(NANO, at / "store", "--tcp", "0") as agent:
        yield str(faults.run_two_hosts(agent.place("tcp"), both, rounds=15 if short else 500))


def power(short: bool) -> Iterator[str]:
    """The power cut at every operation of the store, and at random."""
    operations, tried = power_cut.everywhere()
    yield f"{tried:,} cuts: each of {operations} operations, several fates of what was unsynced"
    stride = 9 if short else 1
    for first in ("cut", "kill"):
        soon = power_cut.twice(first, range(0, operations, stride))
        yield f"{soon:,} cuts: after a {first} at every {stride}. operation one soon after"
    seeds = 60 if short else 3000
    tried = sum(power_cut.at_random(seed) for seed in range(seeds))
    yield f"{tried:,} cuts and kills in {seeds:,} random lives"


def install(short: bool) -> Iterator[str]:
    """The power cut at every operation of an install, and at random."""
    if not short:
        fates = (*install_cut.FATES, ("kept", "lost"), ("random", "kept"))
        operations, tried = install_cut.everywhere(fates)
        yield f"{tried:,} cuts: at each of {operations} operations"
    seeds = 5 if short else 100
    tried = sum(install_cut.at_random(seed) for seed in range(seeds))
    yield f"{tried:,} cuts in {seeds} random lives"


def kill(short: bool) -> Iterator[str]:
    """Kill -9 at random times, under load and while starting."""
    with folder() as at:
        yield str(endurance.run_kills(at, 8 if short else 200, seed=int(time.time())))


def cycles(short: bool) -> Iterator[str]:
    """Push, use, ask, off, again and again: no growth in memory, handles, threads, store."""
    for mode in ("overlay", "in-place"):
        with folder() as at:
            turns = 60 if short else 1000
            early, late = endurance.run_cycles(at, turns, mode)
            endurance.check_growth(early, late)
            grown = late.memory_bytes - early.memory_bytes
            yield (
                f"{turns} cycles, {mode}: {grown:+} bytes of {late.memory_bytes >> 20} MiB, "
                f"{late.handles} handles, {late.threads} threads, {late.store_files} files"
            )


def tamper(short: bool) -> Iterator[str]:
    """Every bit of a signed patch flipped, under every policy."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    for policy in POLICIES:
        with folder() as at:
            board = Board(Model(NANO), at / "store", policy)
            board.trust.trust("me", public(key))
            refused, cut = run_tampering(board, key)
            yield f"{policy}: {sum(refused.values()):,} bits, {cut} cuts, all refused: {refused}"


def fuzz(short: bool) -> Iterator[str]:
    """libFuzzer on framing, CBOR and dispatch; the tests replay its corpus."""
    if not shutil.which(os.environ.get("CLANG", "clang")):
        yield "not run: clang is not installed"
        return
    with folder() as at:
        done = subprocess.run(
            [str(ROOT / "tools/check/fuzz.sh"), "15" if short else "1800", str(at)],
            capture_output=True, text=True,
            env={**os.environ, "KEEP_CORPUS": "1", "PYTHON": sys.executable},
        )  # fmt: skip
    if done.returncode:
        raise AssertionError(done.stderr)
    yield from (line.removeprefix("stat::") for line in done.stdout.splitlines())


PARTS: dict[str, Callable[[bool], Iterator[str]]] = {
    "cuts": cuts,
    "noise": noise,
    "udp": udp,
    "hosts": hosts,
    "power": power,
    "install": install,
    "kill": kill,
    "cycles": cycles,
    "tamper": tamper,
    "fuzz": fuzz,
}


def main() -> None:
    """Run the parts named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--short", action="store_true", help="under three minutes")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    os.chdir(TESTS)  # from the root, -m would find the sources, which have no core beside
    began = time.monotonic()
    for name in options.parts or PARTS:
        start = time.monotonic()
        print(f"{name}: {(PARTS[name].__doc__ or '').strip()}", flush=True)
        for sentence in PARTS[name](options.short):
            print(f"  {sentence}", flush=True)
        print(f"  {time.monotonic() - start:.0f} s", flush=True)
    print(f"soak passed in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
