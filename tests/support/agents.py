"""Real agent processes and real commands for the tests, and patches made for a model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bankai_edge import _patch
from bankai_edge.model import Model
from bankai_edge.patch import Patch, encode
from support.stores import peek

# Run from here, never from the root: there `-m` would find the sources, which have no core beside.
HERE = Path(__file__).parent
COMMAND = (sys.executable, "-m", "bankai_edge")
START_S = 20.0


def make_patch(model: Model, name: str, rows: Sequence[int], *, layer: int = 0) -> bytes:
    """A bound patch that negates these rows (of 256) of a layer's o_proj; .bkp bytes.

    In layer 0 of the nano some dozens of them change most answers.
    """
    patch = Patch(name=name, rows=tuple((layer, 3, row) for row in rows))
    crc = _patch.row_crc(model.core, encode(patch))
    return encode(replace(patch, model_id=model.id, crc=crc))


def on_disk(store: Path, name: str) -> bytes | None:
    """The bytes of a patch in a store that an agent has open; None when it has none."""
    stored = peek(store).patches.get(name)
    return (store / "patches" / stored.file_name).read_bytes() if stored else None


def bankai(
    *args: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a `bankai-edge` command to its end."""
    environment = {key: value for key, value in os.environ.items() if key != "BANKAI_DEVICE"}
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=HERE,
        env={**environment, **(env or {})},
    )


class Agent:
    """An agent process, ready when entered; `log` is what it has told its operator so far."""

    def __init__(self, model: Path, store: Path, *args: str | Path) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, "agent", "--model", str(model), "--store", str(store), *map(str, args)],
            stderr=subprocess.PIPE,
            text=True,
            cwd=HERE,
        )
        self.log = ""
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(START_S) or ": ready on " not in self.log:
            self._process.kill()
            raise AssertionError(f"the agent did not start:\n{self.log}")

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log += line
            if ": ready on " in line:
                self._ready.set()
        self._ready.set()

    def place(self, scheme: str) -> str:
        """The address of the first listener of a kind, as in `udp://127.0.0.1:4711`."""
        ready = next(line for line in self.log.splitlines() if ": ready on " in line)
        places = ready.split(": ready on ")[1].split(", ")
        return next(p for p in places if p.startswith(f"{scheme}:"))

    @property
    def udp_port(self) -> int:
        """The port that `--udp 0` was given."""
        return int(self.place("udp").rpartition(":")[2])

    def wait_for(self, text: str) -> None:
        """Wait until the log holds `text`."""
        deadline = time.monotonic() + START_S
        while text not in self.log:
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.log}"
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the agent and return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(timeout=START_S)
        self._reader.join(timeout=START_S)
        return code

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        code = self.stop()
        if error is None:
            assert code in (0, -signal.SIGKILL), self.log
