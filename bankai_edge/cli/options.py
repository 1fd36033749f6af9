"""What the verbs against devices share: which devices, how long to wait, several at once."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import click

from bankai_edge.cli.output import F, json_option, print_json, say
from bankai_edge.errors import BankaiError, NoDeviceError, UsageError
from bankai_edge.host.address import forms
from bankai_edge.host.client import DEFAULT_TIMEOUT_S, TRIES, Client
from bankai_edge.host.discover import connect, discover
from bankai_edge.host.fleet import members

ALL = "all"
AT_ONCE = 16
DEVICE_HELP = (
    f"Where the device is: {forms()}, or @NAME of the fleet file. "
    "Default: BANKAI_DEVICE, else the one that answers."
)
MANY_HELP = " May repeat; @tag:TAG and @all name several, all is every one that answers."


@dataclass(frozen=True)
class Target:
    """One device that a verb acts on: what the user calls it, and its address."""

    label: str
    address: str | None


@dataclass(frozen=True)
class Where:
    """What the options said about devices and waiting."""

    devices: tuple[str, ...]
    timeout_s: float
    tries: int

    def connect(self) -> Client:
        """A client to the one device that is meant."""
        targets = self.targets()
        if len(targets) > 1:
            names = ", ".join(target.label for target in targets)
            raise UsageError(f"{len(targets)} devices are named: {names}", expected="one")
        return self.open(targets[0])

    def open(self, target: Target) -> Client:
        """A client to one of the targets."""
        return connect(target.address, timeout_s=self.timeout_s, tries=self.tries)

    def targets(self) -> list[Target]:
        """Every device that is meant, each once."""
        found: dict[str | None, Target] = {}
        named = os.environ.get("BANKAI_DEVICE")
        for word in self.devices or ((named,) if named else ()):
            if word == ALL:
                answering = [place for place in discover() if place.info is not None]
                if not answering:
                    raise NoDeviceError(
                        "no device answers", next_step="See why with bankai-edge devices."
                    )
                for place in answering:
                    found.setdefault(
                        str(place.address), Target(str(place.address), str(place.address))
                    )
            elif word.startswith("@"):
                for member in members(word):
                    found.setdefault(member.address, Target(f"@{member.name}", member.address))
            else:
                found.setdefault(word, Target(word, word))
        return list(found.values()) or [Target("the device", None)]


def device_options(command: F) -> F:
    """Add `where` to a verb: --device, --fleet, --timeout and --retries; and --json."""
    return _with_options(command, DEVICE_HELP)


def many_devices_options(command: F) -> F:
    """The same, for a verb that acts on several devices at once."""
    return _with_options(command, DEVICE_HELP + MANY_HELP)


def _with_options(command: F, device_help: str) -> F:
    command = json_option(command)

    @click.option(
        "--retries",
        type=click.IntRange(min=0),
        default=TRIES - 1,
        show_default=True,
        help="How often to ask again what may be asked twice.",
    )
    @click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0.01),
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for one answer, before asking again.",
    )
    @click.option(
        "--fleet",
        metavar="FILE",
        help="The fleet file. Default: BANKAI_FLEET, else ~/.config/bankai-edge/fleet.toml.",
    )
    @click.option(
        "--device",
        "-d",
        "devices",
        multiple=True,
        metavar="ADDRESS",
        help=device_help,
    )
    @functools.wraps(command)
    def with_where(
        *args: Any,
        devices: tuple[str, ...],
        fleet: str | None,
        timeout_s: float,
        retries: int,
        **options: Any,
    ) -> Any:
        if fleet:
            os.environ["BANKAI_FLEET"] = fleet
        return command(*args, where=Where(devices, timeout_s, retries + 1), **options)

    return cast(F, with_where)


Act = Callable[[Client, Callable[[int], None]], tuple[dict[str, Any], str]]


def each_device(
    kind: str,
    where: Where,
    as_json: bool,
    act: Act,
    *,
    total_bytes: int = 0,
    title: str = "",
    one_is_flat: bool = False,
) -> None:
    """Do `act` on every device meant, side by side; one row each, a summary, an exit code.

    `act` gets a client and where to tell the bytes done; it returns fields for JSON and a sentence.
    A single device's error is raised; several devices' are rows, and the first one's exit code is
    the process's. `one_is_flat`: the JSON of a single device is its fields, without "results".
    """
    targets = where.targets()
    errors: dict[int, BankaiError] = {}
    with _Rows(targets, total_bytes, title) as rows:

        def work(index: int) -> dict[str, Any]:
            target = targets[index]
            try:
                with where.open(target) as client:
                    fields, sentence = act(client, functools.partial(rows.progress, index))
                    label = client.transport.label
            except BankaiError as error:
                if len(targets) == 1:
                    raise
                errors[index] = error
                rows.done(index, f"{target.label}: {error}")
                failure = {"error": str(error), "exit_code": error.exit_code}
                return {"device": target.label, "ok": False, **failure}
            rows.done(index, f"{label if target.address is None else target.label}: {sentence}")
            return {"device": label, "ok": True, **fields}

        if len(targets) == 1:
            results = [work(0)]
        else:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(AT_ONCE) as pool:
                results = list(pool.map(work, range(len(targets))))
    if as_json:
        print_json(kind, results[0] if one_is_flat and len(targets) == 1 else {"results": results})
    if len(targets) > 1:
        say(f"{len(targets)} devices: {len(targets) - len(errors)} done, {len(errors)} failed")
    if errors:
        sys.exit(errors[min(errors)].exit_code)


class _Rows:
    """A bar for each device on a terminal, when there is something to wait for; lines always."""

    BAR_FROM_BYTES = 4096

    def __init__(self, targets: Sequence[Target], total_bytes: int, title: str) -> None:
        self._lock = threading.Lock()
        self._progress: Any = None
        many = len(targets) > 1 and total_bytes
        if sys.stderr.isatty() and (many or total_bytes >= self.BAR_FROM_BYTES):
            from rich.console import Console
            from rich.progress import Progress

            self._progress = Progress(console=Console(stderr=True), transient=True)
            self._tasks = [
                self._progress.add_task(target.label if many else title, total=total_bytes)
                for target in targets
            ]

    def __enter__(self) -> _Rows:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def progress(self, index: int, done_bytes: int) -> None:
        """Show how far one device is."""
        if self._progress is not None:
            self._progress.update(self._tasks[index], completed=done_bytes)

    def done(self, index: int, sentence: str) -> None:
        """Say how it went on one device."""
        with self._lock:
            if self._progress is not None:
                self._progress.console.print(sentence, markup=False, highlight=False)
            else:
                say(sentence)
