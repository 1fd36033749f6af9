"""One run of the benchmark on one board as a versioned file, to be carried home and compared."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bankai_edge import __version__
from bankai_edge.bench.machine import Machine
from bankai_edge.bench.measurements import Measurements
from bankai_edge.durable import write_atomically
from bankai_edge.errors import BankaiError, IncompatibleError

VERSION, KIND = 1, "board-report"


def as_fields(found: Measurements, now: datetime | None = None) -> dict[str, Any]:
    """What the file holds: board, model, kernel, figures with spread, conditions."""
    whole = found.as_json()
    here = found.machine
    return {
        "version": VERSION,
        "kind": KIND,
        "tool": __version__,
        "when": (now or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "board": {
            "id": here.board,
            "name": here.cpu,
            "cores": here.cores,
            "memory_bytes": here.memory_bytes,
        },
        "model": whole["model"],
        "kernel": found.model.kernel,
        **{
            key: whole[key] for key in ("tests", "bandwidth", "switches", "first_token_s", "memory")
        },
        "conditions": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "python": platform.python_version(),
            "before": _look(here),
            "after": _look(found.after) if found.after else None,
            "warnings": found.warnings,
            "notes": found.notes,
        },
    }


def _look(machine: Machine) -> dict[str, Any]:
    keys = ("governor", "mhz", "mhz_max", "celsius", "load", "swap_used")
    return {key: getattr(machine, key) for key in keys}


def write(path: Path, found: Measurements) -> None:
    """Write the file.

    Raises:
        BankaiError: the place cannot be written.
    """
    text = json.dumps(as_fields(found), indent=1, ensure_ascii=False)
    write_atomically(path, f"{text}\n".encode())


@dataclass(frozen=True)
class Figure:
    """One test with one number of threads; tokens per second."""

    test: str
    threads: int
    per_s: float
    spread: float


@dataclass(frozen=True)
class BoardReport:
    """What comparing needs of a file; `label` is the file's stem."""

    label: str
    board: str | None
    board_name: str
    model: str
    model_id: str
    kernel: str
    figures: tuple[Figure, ...]
    when: str
    governor: str | None
    celsius: float | None
    load: float
    warnings: tuple[str, ...]
    fields: dict[str, Any]


def read(path: Path) -> BoardReport:
    """Read one file.

    Raises:
        BankaiError: it is missing, no JSON, or lacks a figure; names which.
        IncompatibleError: it is something else, or of another version (exit 4).
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise BankaiError(
            f"{path} cannot be read ({why})", next_step="Make one: bankai-edge bench --board-report"
        ) from error
    kind = fields.get("kind") if isinstance(fields, dict) else None
    if kind != KIND or fields.get("version") != VERSION:
        found = f"{kind or 'something else'}, version {fields.get('version')}" if kind else "else"
        raise IncompatibleError(
            f"{path} is no board report of version {VERSION} (it is {found})",
            next_step="Make one: bankai-edge bench --board-report FILE",
        )
    try:
        return _parse(path.stem, fields)
    except (KeyError, TypeError, ValueError) as error:
        raise BankaiError(
            f"{path} is damaged: {error!r} is missing or of another type",
            next_step="Make it again: bankai-edge bench --board-report FILE",
        ) from error


def _parse(label: str, fields: dict[str, Any]) -> BoardReport:
    board, model, at = fields["board"], fields["model"], fields["conditions"]
    look = at["after"] or at["before"]
    heat = look["celsius"]
    figures = tuple(
        Figure(
            str(t["test"]), int(t["threads"]), float(t["tokens_per_s"]), float(t["spread"])
        )
        for t in fields["tests"]
    )  # fmt: skip
    if not figures or min(figure.per_s for figure in figures) <= 0:
        raise ValueError("tests")
    return BoardReport(
        label=label,
        board=board["id"],
        board_name=str(board["name"]),
        model=str(model["name"]),
        model_id=str(model["id"]),
        kernel=str(fields["kernel"]),
        figures=figures,
        when=str(fields["when"]),
        governor=look["governor"],
        celsius=None if heat is None else float(heat),
        load=float(at["before"]["load"]),
        warnings=tuple(str(warning) for warning in at["warnings"]),
        fields=fields,
    )
