"""UDP through the kernel's netem: run in a network namespace of its own (`unshare --net`).

`unshare --net python -m support.netem MODEL FOLDER`, from tests/: FOLDER holds a.bkp and
b.bkp and gets the store.
Exits 77, as test programs do to be skipped, where namespace or netem are not to be had.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.agents import Agent
from support.faults import run_udp

SETTINGS = (
    "loss 1%",
    "loss 10% duplicate 5%",
    "loss 30%",
    "delay 10ms 5ms reorder 25% 50% duplicate 10% loss 5%",
)


def tool(*words: str) -> str | None:
    """Run a command; why it failed, or None."""
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        return f"{words[0]} is not installed (apt-get install iproute2)"
    return done.stderr.strip() or f"exit {done.returncode}" if done.returncode else None


def main() -> None:
    """Every setting in turn, on this namespace's own loopback."""
    seen = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    if seen.count("\n") != 1 or "state DOWN" not in seen:
        sys.exit("this looks like the machine's own network: run it under unshare --net")
    model, folder = Path(sys.argv[1]), Path(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    problem = tool("ip", "link", "set", "lo", "up") or tool(
        "tc", "qdisc", "add", "dev", "lo", "root", "netem", "loss", "0%"
    )
    if problem:
        print(f"no netem here: {problem}", file=sys.stderr)
        sys.exit(77)
    patches = {name: (folder / f"{name}.bkp").read_bytes() for name in ("a", "b")}
    for setting in SETTINGS:
        words = setting.split()
        problem = tool("tc", "qdisc", "replace", "dev", "lo", "root", "netem", *words)
        assert problem is None, problem
        store = folder / f"store-{SETTINGS.index(setting)}"
        with Agent(model, store, "--udp", "0") as agent:
            tally = run_udp(agent.place("udp"), patches, rounds=rounds)
        print(f"netem {setting}: {tally}", flush=True)
        assert tally.succeeded >= 0.75 * rounds, f"{setting}: {tally}"


if __name__ == "__main__":
    main()
