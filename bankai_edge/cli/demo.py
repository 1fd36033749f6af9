"""`bankai-edge demo`: the whole story on this machine: a real agent, a real line, a real patch."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from bankai_edge.agent.pty_line import PtyCable
from bankai_edge.cli.output import json_option, print_json, say
from bankai_edge.errors import BankaiError
from bankai_edge.host.client import Client
from bankai_edge.host.discover import connect
from bankai_edge.patch import bkp
from bankai_edge.probes.domains import Item, forms, items
from bankai_edge.shipped import ARITH, NANO

TARGETS, CONTROLS, SEED = 16, 12, 11
PLAIN_WIDTH = 110  # columns, where no terminal says
START_TIMEOUT_S = 20.0
# Run from "/", so that a checkout in the current directory does not stand in for the package.
PROGRAM = [sys.executable, "-m", "bankai_edge"]


@dataclass
class Row:
    """One held-out prompt and its three answers."""

    kind: str
    prompt: str
    expected: str
    before: str = ""
    after: str = ""
    reverted: str = ""

    @property
    def verdict(self) -> str:
        """What the patch did to this answer."""
        if self.reverted != self.before:
            return "NOT REVERTED"
        was, is_ = self.before == self.expected, self.after == self.expected
        return {
            (False, True): "fixed",
            (True, False): "broken",
            (True, True): "kept",
            (False, False): "still wrong",
        }[was, is_]


def held_out_rows(form: str) -> list[Row]:
    """Prompts the model was never trained on: the patch's own form, and every other skill."""
    domain = next(f.domain for f in forms() if f.name == form)
    targets = items(domain, form, "heldout", n=TARGETS, seed=SEED)
    strong = forms(strong=True)
    step = len(strong) / CONTROLS
    controls: list[Item] = []
    for i in range(CONTROLS):
        f = strong[int(i * step)]
        controls += items(f.domain, f.name, "heldout", n=1, seed=SEED)
    return [Row("target", t.prompt, t.answer) for t in targets] + [
        Row("control", c.prompt, c.answer) for c in controls
    ]


@contextmanager
def running_agent(line: str, store: Path) -> Iterator[None]:
    """`bankai-edge agent` as a process of its own, serving the nano on the serial line."""
    command = [*PROGRAM, "agent", "--model", str(NANO), "--store", str(store)]
    command += ["--serial", line, "--mode", "in-place"]
    agent = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/"
    )
    try:
        yield
    finally:
        agent.terminate()
        _, complaints = agent.communicate(timeout=10)
        if agent.returncode:
            raise BankaiError(f"the agent ended with {agent.returncode}: {complaints.strip()}")


def wait_for_agent(line: str) -> Client:
    """A client to the agent, once it answers."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            client = connect(line, timeout_s=0.5)
            client.info()
            return client
        except BankaiError:
            if time.monotonic() > deadline:
                raise


def ask_all(client: Client, rows: Sequence[Row], column: str) -> None:
    """Ask every prompt over the line; the answers go into `column`."""
    for row in rows:
        setattr(row, column, "".join(client.generate(row.prompt, max_tokens=12)).strip())


def bankai_edge(*arguments: str) -> float:
    """Run a verb as its own process, the way a user does; its wall seconds."""
    start = time.perf_counter()
    done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise BankaiError(f"bankai-edge {arguments[0]} failed: {done.stderr.strip()}")
    return time.perf_counter() - start


@click.command()
@json_option
def demo(as_json: bool) -> None:
    """Push a patch to a running model over a serial line and watch its answers change.

    Everything is real: an agent process, a pseudo-terminal between it and this command, the nano
    model, the shipped arith.bkp, and prompts that neither training nor search has seen.
    """
    data = ARITH.read_bytes()
    patch = bkp.decode(data)
    rows = held_out_rows(str(patch.provenance["form"]))
    facts: dict[str, Any] = {"patch": patch.name, "patch_bytes": len(data)}
    facts["flips"] = len(patch.rows) + len(patch.groups) + len(patch.bits)
    with (
        PtyCable() as cable,
        tempfile.TemporaryDirectory() as folder,
        running_agent(cable.agent_path, Path(folder) / "store"),
    ):
        say(f"agent: {NANO.name} on {cable.agent_path}, patched in place")
        with wait_for_agent(cable.host_path) as client:
            pristine = client.verify()
            ask_all(client, rows, "before")
        sent = cable.to_agent_bytes
        line = ["--device", cable.host_path]
        say(f"$ bankai-edge push {ARITH.name} --device {cable.host_path} --use")
        facts["push_seconds"] = bankai_edge("push", str(ARITH), *line, "--use")
        facts["push_wire_bytes"] = cable.to_agent_bytes - sent
        with wait_for_agent(cable.host_path) as client:
            ask_all(client, rows, "after")
            switches = []
            for _ in range(5):
                client.deactivate()
                switches.append(client.activate([patch.name]) / 1000)
            facts["switch_us"] = sorted(switches)[2]
        say(f"$ bankai-edge off --device {cable.host_path}")
        bankai_edge("off", *line)
        with wait_for_agent(cable.host_path) as client:
            ask_all(client, rows, "reverted")
            restored = client.verify()
    facts["weights_sha256"] = restored["weights_sha256"].hex()
    facts["weights_restored"] = bool(
        restored["weights_intact"] and restored["weights_sha256"] == pristine["weights_sha256"]
    )
    _report(rows, facts, as_json)
    wrong_end = [r for r in rows if r.verdict == "NOT REVERTED"]
    if wrong_end or not facts["weights_restored"]:
        raise BankaiError("the model did not return to what it was")


def _report(rows: list[Row], facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        table = [{**asdict(r), "verdict": r.verdict} for r in rows]
        print_json("demo", {**facts, "rows": table})
        return
    from rich.console import Console
    from rich.table import Table

    table_ = Table(title="held-out prompts, answered over the serial line")
    for column in ("", "prompt", "expected", "before", f"with {facts['patch']}", "after off", ""):
        table_.add_column(column, overflow="fold")
    colours = {"fixed": "green", "kept": "dim", "still wrong": "yellow"}
    for r in rows:
        colour = colours.get(r.verdict, "red")
        verdict = f"[{colour}]{r.verdict}[/]"
        table_.add_row(r.kind, r.prompt, r.expected, r.before, r.after, r.reverted, verdict)
    console = Console()
    Console(width=console.width if console.is_terminal else PLAIN_WIDTH).print(table_)
    for kind in ("target", "control"):
        part = [r for r in rows if r.kind == kind]
        before = sum(r.before == r.expected for r in part)
        after = sum(r.after == r.expected for r in part)
        click.echo(f"{kind}s right: {before} of {len(part)} before, {after} with the patch")
    click.echo(
        f"patch: {facts['patch_bytes']} bytes, {facts['flips']} flips; push: "
        f"{facts['push_wire_bytes']} bytes on the wire, {facts['push_seconds']:.2f} s with the "
        f"command's start; switch: {facts['switch_us']:.0f} µs (verify, flip, drop the cache)"
    )
    same = "every weight byte as before" if facts["weights_restored"] else "WEIGHTS DIFFER"
    click.echo(f"after off: {same} (SHA-256 {facts['weights_sha256'][:16]}…)")
