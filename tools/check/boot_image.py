"""Prove an image by booting it under QEMU: the host's own commands, golden hashes, power cuts.

    python tools/check/boot_image.py                                    builds for virt; one boot
    python tools/check/boot_image.py --long --board rpi3 --kills 50     all of it
    python tools/check/boot_image.py --image sd.img --board rpi3        an image that exists

Needs qemu-system-arm and what `bankai-edge image build` needs; run it beside an installed
bankai-edge. Prints what it did; the first thing that is not so ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from emulator import PACKAGES, Board, check_data, missing_tool
from lives import PROMPT as LIFE_PROMPT
from lives import VERSIONS, Ideal, do, patch, random_step

from bankai_edge.bench.golden import golden
from bankai_edge.durable import sha256_of
from bankai_edge.errors import BankaiError
from bankai_edge.host.client import Client, RefusedError
from bankai_edge.image import partitions
from bankai_edge.model import Model, Session
from bankai_edge.shipped import ARITH, NANO

ROOT = Path(__file__).resolve().parents[2]
READY_S = {"qemu-virt": 30.0, "rpi3": 70.0}  # wanted; the limits are these, tripled
PROMPT = "what is 17+25?"
TOKENS = 3
LONGEST_LIFE_S = {"qemu-virt": 4.0, "rpi3": 12.0}
Say = Callable[[str], None]


class NotSoError(Exception):
    """What should be so is not."""


def check(so: object, what: str) -> None:
    """Raise NotSoError unless `so`."""
    if not so:
        raise NotSoError(what)


def bankai(*words: str | Path, env: dict[str, str] | None = None) -> str:
    """Run the host's command as a user would; its stdout. Raises NotSoError when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "bankai_edge", *map(str, words)], capture_output=True, text=True,
        timeout=600, cwd=ROOT / "tests", env={**os.environ, **(env or {})},
    )  # fmt: skip
    check(done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr}{done.stdout}")
    return done.stdout


def build(board: str, out: Path, *more: str | Path) -> tuple[Path, float]:
    """An image with the nano model, and the seconds that it took."""
    start = time.monotonic()
    words = ["image", "build", "--board", board, "--model", NANO, "-o", out, *more]
    report = json.loads(bankai(*words, "--json"))
    check(report["sha256"] == sha256_of(out), "the image's hash is not what was printed")
    return out, time.monotonic() - start


def limit(board: str) -> float:
    """How long to wait for a board before giving it up."""
    return 3 * READY_S[board]


# ---- one boot after the other -------------------------------------------------------------------


def story(image: Path, board: str, work: Path, say: Say) -> None:
    """The commands of the README against the image over a pty, then a reboot."""
    with Board(image, board, work) as here:
        say(f"agent ready {here.wait_ready(limit(board)):.1f} s after power-on")
        d = ["--device", str(here.address), "--timeout", "20"]  # emulated, beside other work
        pristine = ask(d)
        say(f"ask {PROMPT}: {pristine!r}")
        bankai("push", ARITH, "--use", *d)
        patched = ask(d)
        say(f"ask {PROMPT}: {patched!r}")
        check(patched == answer([ARITH.read_bytes()]), "the answer is not the host's")
        check(pristine == answer([]), "the pristine answer is not the host's")
        report = json.loads(bankai("verify", "--json", *d))
        check(report["ok"] and report["weights_intact"], f"verify: {report}")
        say(f"verify: ok, {report['patches']} patches, weights intact")
        bankai("off", *d)
        check(ask(d) == pristine, "off did not bring the pristine model back")
        bankai("use", "arith", *d)
        here.kill()
    say(f"power cut; e2fsck: {check_data(image, work) or 'nothing to do'}")


def reboot(image: Path, board: str, work: Path, say: Say) -> None:
    """What was active is active again; golden hashes and figures are the board's own."""
    link = work / "bankai-edge.sock"  # where `devices` looks, below XDG_RUNTIME_DIR
    with Board(image, board, work, words="bankai.check", socket=link) as here:
        device = json.loads(here.wait_for("golden {", limit(board)).removeprefix("golden "))
        here.wait_ready(limit(board))
        found = bankai("devices", env={"XDG_RUNTIME_DIR": str(work)})
        say(f"after the reboot, devices: {found.strip()}")
        check("arith active" in found, "the active set is not back")
        compare_golden(device)
        say(f"golden logits: {len(device['cases'])} prompts, pristine and patched, as on this host")
        bench = json.loads(here.wait_for("bench {", 6 * limit(board)).removeprefix("bench "))
        decode = next(row for row in bench["tests"] if row["test"].startswith("tg"))
        say(f"bench on the board: {decode['tokens_per_s']:.0f} tokens/s, emulated: no measure")


def compare_golden(device: dict[str, Any]) -> None:
    """The device's hashes are this host's and the repository's."""
    with tempfile.TemporaryDirectory() as name:
        patches = []
        for patch in sorted(set(device["cases"][0]) - {"prompt", "plain"}):
            path = Path(name) / f"{patch}.bkp"
            shutil.copy(ARITH.with_name(path.name), path)
            patches.append(path)
        check(golden(NANO, patches) == device, f"golden logits differ: {device}")
    known = json.loads((ROOT / "tests/golden/nano.json").read_text())
    plain = {case["prompt"]: case["plain"] for case in known["cases"]}
    check({c["prompt"]: c["plain"] for c in device["cases"]} == plain, "not the golden file's")


def ask(device: Sequence[str]) -> str:
    """A short answer of the device."""
    return bankai("ask", PROMPT, "--max-tokens", str(TOKENS), *device).rstrip("\n")


def answer(members: list[bytes], prompt: str = PROMPT) -> str:
    """The same answer by this host."""
    session = Session(Model(NANO))
    session.use(members)
    return "".join(session.generate(prompt, max_tokens=TOKENS)).rstrip("\n")


# ---- a data partition in trouble ----------------------------------------------------------------


def damaged(image: Path, board: str, work: Path, say: Say) -> None:
    """A data partition of noise is made anew, with the image's own patches."""
    part = partitions.read_table(image)[1][3]
    noise = random.Random(1)
    with image.open("r+b") as file:
        for at in range(part.start, part.start + part.size, 1 << 20):
            file.seek(at)
            file.write(noise.randbytes(1 << 16))
    with Board(image, board, work) as here, contextlib.ExitStack() as stack:
        here.wait_ready(limit(board))
        said = here.wait_for("bankai-edge: the data partition", limit(board))
        check("beyond repair" in said, said)
        client = stack.enter_context(here.client())
        check([p.name for p in client.list()] == ["arith", "units"], "not the image's patches")
        say(f"a partition of noise: {said}")


def full(image: Path, board: str, work: Path, say: Say) -> None:
    """A full data partition: the agent answers, and a push is refused with a sentence."""
    part = partitions.read_table(image)[1][3]
    blocks = work / "data.ext4"
    check_data(image, work)  # leaves a copy with its journal replayed
    filler = work / "filler"
    with filler.open("wb") as file:
        file.write(b"\1" * part.size)
    debugfs = shutil.which("debugfs", path="/usr/sbin:/sbin") or "debugfs"
    subprocess.run(
        [debugfs, "-w", "-R", f"write {filler} filler", str(blocks)], capture_output=True
    )
    with image.open("r+b") as target, blocks.open("rb") as source:
        target.seek(part.start)
        shutil.copyfileobj(source, target, 1 << 20)
    with Board(image, board, work) as here:
        here.wait_ready(limit(board))
        with here.client() as client:
            try:
                client.push("big", b"\0" * 4096)
            except BankaiError as error:
                say(f"a full partition: {error}")
            else:
                raise NotSoError("a push into a full partition was taken")
            check("".join(client.generate(PROMPT, TOKENS)), "no answer")


# ---- power cuts ---------------------------------------------------------------------------------


def kills(image: Path, board: str, work: Path, count: int, say: Say, seed: int = 0) -> None:
    """QEMU killed at random moments of pushes and switches: the old state or the new one, whole.

    The image holds no patches. Each boot checks the state, the weights and an answer.
    """
    rng = random.Random(seed)
    state = Ideal()
    allowed = {state}
    done = undone = steps = 0
    notes: set[str] = set()
    for number in range(count + 1):
        with Board(image, board, work) as here:
            here.wait_ready(limit(board))
            check("damaged" not in here.console, here.console)
            check("beyond repair" not in here.console, here.console)
            with here.client() as client:
                found = _found(client)
                fits = [s for s in allowed if (s.stored, s.active) == found]
                check(fits, f"kill {number}: found {found}, allowed {allowed}")
                if len(allowed) == 2:
                    done, undone = done + (fits[0] != state), undone + (fits[0] == state)
                state = fits[0]
                check(client.verify()["ok"] is True, "verify")
                said = "".join(client.generate(LIFE_PROMPT, TOKENS))
                members = [patch(version) for version in state.active]
                check(said.rstrip("\n") == answer(members, LIFE_PROMPT), f"answered {said!r}")
                if number == count:
                    break
                end = time.monotonic() + rng.uniform(0, LONGEST_LIFE_S[board])
                killer = _kill_at(here, end)
                state, allowed, n = _load(client, state, rng)
                steps += n
                killer.join()
        notes.add(check_data(image, work).partition("clean")[0])
        if (number + 1) % 5 == 0:
            say(f"{number + 1} kills, {steps} steps")
    say(
        f"{count} kills among {steps} steps; {done + undone} within one: {done} done, {undone} "
        "not; never between; file system sound each time"
    )


def _kill_at(board: Board, when: float) -> Any:
    import threading

    def kill() -> None:
        time.sleep(max(0.0, when - time.monotonic()))
        board.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def _load(client: Client, state: Ideal, rng: random.Random) -> tuple[Ideal, set[Ideal], int]:
    """Steps until the board is gone: the state known, those that may be, how many were done."""
    steps = 0
    while True:
        step = random_step(rng)
        after = state.after(step)
        # A rollback leads to a set that a boot cannot show; steps that change nothing are rare.
        if step[0] == "rollback" or (after in (None, state) and rng.random() < 0.9):
            continue
        try:
            do(client, step)
        except RefusedError:
            check(after is None, f"{step} was refused in {state}")
        except BankaiError:
            return state, {state, after or state}, steps
        else:
            state = after or state
        steps += 1


def _found(client: Client) -> tuple[Any, Any]:
    """What the device says it has: versions by name, and the active ones."""
    stored = {}
    for row in client.list():
        digest = client.sha256(row.name)
        stored[row.name] = VERSIONS[digest.hex() if digest else ""]
    active = tuple(stored[name] for name in client.info()["active"])
    return tuple(sorted(stored.items())), active


# ---- the network --------------------------------------------------------------------------------


def over_udp(image: Path, board: str, work: Path, say: Say) -> None:
    """An image built with --insecure answers on UDP, once its network has an address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Board(image, board, work, port=port) as here:
        here.wait_ready(limit(board))
        found = bankai("info", "--device", f"udp://127.0.0.1:{port}", "--retries", "20")
        check("nano" in found, found)
        say(f"over UDP, at an address by DHCP: {found.split()[1]} answers")


def main() -> int:
    """0: all so; 1: something is not; 2: cannot run here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--board", choices=sorted(READY_S), default="qemu-virt")
    parser.add_argument("--image", type=Path, help="an image with the nano model and no patches")
    parser.add_argument("--wheel", type=Path, help="for building: the aarch64 wheel")
    parser.add_argument("--cache", type=Path, help="for building: where packages are kept")
    parser.add_argument("--long", action="store_true", help="two builds, kills, damage, network")
    parser.add_argument("--kills", type=int, default=50, help="how many, in the long form")
    parser.add_argument("--only", choices=["kills"], help="this part alone")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tool = missing_tool()
    if tool:
        print(f"no {tool} here: apt-get install {PACKAGES}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(dir=args.image.parent if args.image else None) as name:
        try:
            prove(args, Path(name))
        except (NotSoError, BankaiError) as problem:
            print(f"NOT SO: {problem}", file=sys.stderr)
            return 1
    return 0


def prove(args: argparse.Namespace, work: Path) -> None:
    """All that was asked for, one after the other."""
    start = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - start:7.1f}  {text}", flush=True)

    more: list[str | Path] = []
    for option in ("wheel", "cache"):
        if getattr(args, option):
            more += [f"--{option}", getattr(args, option).absolute()]
    card, built = work / "card.img", args.image
    if built is None:
        built, seconds = build(args.board, work / "built.img", *more)
        say(f"built for {args.board} in {seconds:.1f} s: {sha256_of(built)}")
    if args.only != "kills":
        shutil.copy(built, card)
        story(card, args.board, work, say)
    if args.long and args.only != "kills":
        reboot(card, args.board, work, say)
        long_story(args.board, work, more, say)
    if args.long or args.only == "kills":
        shutil.copy(built, card)
        kills(card, args.board, work, args.kills, say, args.seed)


def long_story(board: str, work: Path, more: list[str | Path], say: Say) -> None:
    """Images of other orders, and data partitions in trouble."""
    patches = work / "patches"
    patches.mkdir()
    for name in ("arith", "units"):
        shutil.copy(ARITH.with_name(f"{name}.bkp"), patches)
    seeded = build(board, work / "seeded.img", "--patches", patches, *more)[0]
    same: list[str | Path] = ["--patches", patches, "--locked", f"{seeded}.json"]
    again = build(board, work / "again.img", *same, *more)[0]
    check(sha256_of(seeded) == sha256_of(again), "two builds differ")
    say(f"two builds, one hash: {sha256_of(seeded)}")
    damaged(seeded, board, work, say)
    full(seeded, board, work, say)
    if board == "qemu-virt":
        over_udp(build(board, work / "net.img", "--insecure", *more)[0], board, work, say)


if __name__ == "__main__":
    sys.exit(main())
