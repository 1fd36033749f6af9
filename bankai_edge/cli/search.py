"""`bankai-edge search`: find a patch that helps on held-out items, or say that there is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import click

from bankai_edge._facts import NAME_RULE, PROJECTIONS, name_ok
from bankai_edge.cli.arguments import model_option
from bankai_edge.cli.output import json_option, print_json, say
from bankai_edge.durable import write_atomically
from bankai_edge.errors import BankaiError, UsageError
from bankai_edge.judge.reading import METRICS
from bankai_edge.model.kernels import choose_threads
from bankai_edge.patch.bkp import encode
from bankai_edge.probes.general import SETS
from bankai_edge.search.climb.sites import GRANULARITIES
from bankai_edge.search.job import DEFAULT, Checkpoint, Job, Result
from bankai_edge.search.job import search as run
from bankai_edge.search.strategies.table import STRATEGIES
from bankai_edge.shipped import NANO

_PROJECTIONS = [name.removesuffix("_proj") for name in PROJECTIONS]
_ROW_LIKE = " and ".join(s.name for s in STRATEGIES.values() if s.granularity == "row")


@click.command()
@model_option("patch")
@click.option("--target", "targets", multiple=True, required=True, metavar="PROBES",
              help="Probes to teach: a JSON file, nano:FORM, or general:"
                   f"{', '.join(SETS)}.")  # fmt: skip
@click.option("--control", "controls", multiple=True, metavar="PROBES",
              help="Probes to leave alone: likewise, or nano:strong. Both may repeat.")  # fmt: skip
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="The .bkp to write.")  # fmt: skip
@click.option("--name", help="The patch's name; otherwise the file's.")
@click.option("--budget-bytes", type=click.IntRange(64), show_default=True,
              default=Job.budget_bytes, help="The finished file is never larger.")  # fmt: skip
@click.option("--strategy", type=click.Choice(list(STRATEGIES)), default=DEFAULT,
              show_default=True, help="How flips are proposed; see docs/search.md.")  # fmt: skip
@click.option("--granularity", type=click.Choice(GRANULARITIES),
              help=f"What is flipped [default: row for {_ROW_LIKE}, else bit].")  # fmt: skip
@click.option("--projection", "projections", multiple=True, type=click.Choice(_PROJECTIONS),
              help="Where flips may lie; may repeat.")  # fmt: skip
@click.option("--metric", type=click.Choice(METRICS), default=Job.metric,
              show_default=True, help="What is raised; results are greedy text.")  # fmt: skip
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=Job.minutes,
              show_default=True, help="Time for the search.")  # fmt: skip
@click.option("--evaluations", type=click.IntRange(1), help="Exact evaluations at most.")
@click.option("--seed", type=click.IntRange(0), default=Job.seed, show_default=True,
              help="The same seed makes the same decisions.")  # fmt: skip
@click.option("--control-weight", type=float, default=Job.control_weight, show_default=True,
              help="λ: what harm to controls costs.")  # fmt: skip
@click.option("--margin", type=float, default=Job.margin, show_default=True,
              help="τ: the margin that controls shall keep.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on where an interrupted search stopped.")
@click.option("--threads", type=click.IntRange(1), help="Threads of this process.")
@click.option("--workers", type=click.IntRange(0), default=Job.workers, metavar="N",
              help="Evaluate in N processes instead of threads.")  # fmt: skip
@click.option("--scheduler", metavar="URL", help="Evaluate on a Dask cluster: tcp://host:port.")
@click.option("--device", default="cpu", show_default=True, help="PyTorch device of gradients.")
@click.option("--log", "log_path", type=click.Path(dir_okay=False, path_type=Path),
              help="Write every decision, one JSON object a line.")  # fmt: skip
@click.option("--drop-bad-probes", is_flag=True, help="Leave out what the audit refuses.")
@json_option
def search(model_path: Path | None, output: Path, name: str | None, as_json: bool,
           resume: bool, log_path: Path | None, **options: Any) -> None:  # fmt: skip
    """Search for a patch that teaches the target probes and leaves the controls alone.

    Search, validation and held-out probes never mix; only what validation confirms is written, and
    what is reported is greedy text on held-out probes. Ctrl-C keeps the best patch so far.
    Exit code 1: no patch found that helps held-out; nothing is written.
    """
    job = _job(model_path, name or output.stem, options)
    state = Checkpoint(output.with_name(output.name + ".search.json"))
    with _log(log_path, append=resume) as log, _progress() as show:

        def watch(event: dict[str, Any]) -> None:
            if log:
                log.write(json.dumps(event, ensure_ascii=False) + "\n")
                log.flush()
            show(event)

        result = run(job, watch, state, resume)
    if result.patch is not None and result.helps:
        write_atomically(output, encode(result.patch))
    if as_json:
        print_json("search", _fields(job, output, result))
    if result.found.interrupted:
        say("Interrupted: go on with --resume")
    if result.patch is None or not result.helps:
        why = "; ".join(result.found.refusals) or "held-out items do not confirm it"
        raise BankaiError(
            f"no patch found that helps held-out ({why})", next_step="Nothing was written; a "
            "phrasing that the model nearly has is teachable, a skill that it lacks only by "
            "--strategy tune and some 30 KB"
        )  # fmt: skip
    _report(output, result, say if as_json else click.echo)


def _job(model_path: Path | None, name: str, options: dict[str, Any]) -> Job:
    if not name_ok(name):
        raise UsageError(f"{name!r} is no patch name", expected=NAME_RULE, next_step="Give --name")
    projections = tuple(_PROJECTIONS.index(p) for p in options.pop("projections"))
    options["threads"] = options["threads"] or choose_threads(None, 1 << 30)
    return Job(model_path or NANO, name=name, projections=projections or None, **options)


@contextmanager
def _log(path: Path | None, *, append: bool) -> Iterator[TextIO | None]:
    if path is None:
        yield None
        return
    with path.open("a" if append else "w", encoding="utf-8") as file:
        yield file


@contextmanager
def _progress() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A live line on a terminal, one line an event elsewhere; always stderr."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    seen: dict[str, Any] = {}
    if not console.is_terminal:
        yield lambda event: _line(event, seen)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:

        def show(event: dict[str, Any]) -> None:
            seen.update({k: v for k, v in event.items() if v is not None})
            if event["event"] == "audit":
                live.console.print(f"audit: {event['text']}", markup=False)
            if event["event"] == "accept":
                seen["fitness"] = event["j"]
            if event["event"] in ("validation", "step"):
                seen["valid"] = event["verdict"]
            live.update(Text(_status(seen)))

        yield show


def _status(seen: dict[str, Any]) -> str:
    seconds = max(float(seen.get("seconds", 0.0)), 1e-3)
    parts = [f"{seconds:.0f} s", f"fitness {seen.get('fitness', 0.0):.3f}"]
    if valid := seen.get("valid"):
        t, c = valid["target"], valid["control"]
        parts.append(f"validation +{t['fixed']} −{t['broken']}, "
                     f"controls +{c['fixed']} −{c['broken']}")  # fmt: skip
    if "probes_read" in seen:
        parts.append(f"{seen['evaluations']} evaluations, {seen['probes_read'] / seconds:.0f} "
                     "probes/s")  # fmt: skip
    if "bytes" in seen:
        parts.append(f"{seen['bytes']} bytes")
    return " · ".join(parts)


def _line(event: dict[str, Any], seen: dict[str, Any]) -> None:
    kind = event["event"]
    if kind == "audit":
        say(f"audit: {event['text']}")
    elif kind == "start":
        say(f"{event['target']} targets ({event['right']} right), {event['control']} controls")
    elif kind in ("accept", "validation", "step"):
        if kind == "accept":
            seen["fitness"] = event["j"]
            seen.update(event)
            return
        seen.update({**event, "valid": event["verdict"]})
        say(_status(seen))


def _report(output: Path, result: Result, tell: Callable[[str], None]) -> None:
    heldout, found = result.heldout, result.found
    assert heldout is not None
    for name, change in (*result.by_target.items(), ("controls", heldout.control)):
        tell(f"held-out {name}: {change.before} -> {change.after} of {change.n} "
                   f"(+{change.fixed} -{change.broken})")  # fmt: skip
    say(f"Wrote {output}: {output.stat().st_size} bytes, {len(found.sites)} flips, "
        f"{found.evaluations} evaluations, {found.passes} gradient passes, "
        f"{found.seconds:.0f} s")  # fmt: skip


def _fields(job: Job, output: Path, result: Result) -> dict[str, Any]:
    found = result.found
    written = result.patch is not None and result.helps
    return {
        "file": str(output) if written else None,
        "bytes": len(encode(result.patch)) if result.patch and written else 0,
        "targets": list(job.targets),
        "strategy": job.strategy,
        "seed": job.seed,
        "flips": len(found.sites),
        "fitness": found.fitness,
        "evaluations": found.evaluations,
        "passes": found.passes,
        "probes_read": found.probes_read,
        "seconds": found.seconds,
        "interrupted": found.interrupted,
        "probes": result.probes,
        "refusals": found.refusals,
        "validation": asdict(found.validation) if found.validation else None,
        "heldout": asdict(result.heldout) if result.heldout else None,
        "heldout_by_target": {name: asdict(c) for name, c in result.by_target.items()},
        "audit": [{"finding": str(f), "fatal": f.fatal} for f in result.findings],
    }
