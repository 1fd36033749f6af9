"""Which kernel and how many threads: asked for, remembered, or measured once per machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import time
from pathlib import Path

from bankai_edge import __version__, _engine, folders
from bankai_edge._facts import GROUP
from bankai_edge.defaults import MAX_THREADS, SMALL_MODEL_BYTES
from bankai_edge.durable import replacing
from bankai_edge.errors import UsageError

TUNE_ROWS, TUNE_COLS, TUNE_SECONDS = 768, 2048, 0.02


def available() -> list[str]:
    """Names of the kernels that this CPU runs, the likely fastest first."""
    return [name for name, _, runs, _ in _engine.kernels() if runs]


def choose_kernel(name: str | None = None) -> str:
    """`name`, else `BANKAI_KERNEL`, else the fastest of this machine by a short measurement.

    Raises:
        UsageError: a kernel that this build or this CPU does not have (exit 2).
    """
    wanted = name or os.environ.get("BANKAI_KERNEL")
    if not wanted:
        return _remembered() or _measure()
    known = {kernel: (runs, needs) for kernel, _, runs, needs in _engine.kernels()}
    if wanted not in known:
        raise UsageError(f"no kernel named {wanted!r}", expected=f"one of {', '.join(known)}")
    runs, needs = known[wanted]
    if not runs:
        raise UsageError(
            f"kernel {wanted} does not run here: it needs {needs}",
            expected=f"one of {', '.join(available())}",
        )
    return wanted


def choose_threads(threads: int | None, weight_bytes: int) -> int:
    """`threads`, else `BANKAI_THREADS`, else as many cores as pay for this model."""
    if threads is None and (text := os.environ.get("BANKAI_THREADS")):
        if not text.isdigit() or not 1 <= int(text) <= 64:
            raise UsageError(f"BANKAI_THREADS is {text!r}", expected="a number from 1 to 64")
        threads = int(text)
    if threads is not None:
        return threads
    if weight_bytes < SMALL_MODEL_BYTES:
        return 1
    return min(len(os.sched_getaffinity(0)), MAX_THREADS)


def gemv_seconds(kernel: str, rows: int = TUNE_ROWS, cols: int = TUNE_COLS) -> float:
    """Best seconds of one product of a matrix that fits into the cache."""
    products = _engine.Products(kernel, some_rows(rows, cols), rows, cols)
    products.run()
    best, end = float("inf"), time.perf_counter() + TUNE_SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        products.run()
        best = min(best, time.perf_counter() - start)
    return best


def some_rows(rows: int, cols: int) -> bytes:
    """Q1_0 rows of arbitrary bits and one ordinary scale."""
    bits = hashlib.sha256(b"bankai-edge").digest()[:16]
    return (b"\x00\x24" + bits) * (rows * cols // GROUP)


def _machine() -> str:
    """What the choice depends on: this build's kernels and this CPU."""
    kernels = ",".join(available())
    model = platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith(("model name", "cpu part")):
                model += " " + line.split(":", 1)[1].strip()
                break
    return f"{__version__} {model} {kernels}"


def _remembered() -> str | None:
    try:
        saved = json.loads(folders.cache("kernel.json").read_text())
        if saved["machine"] == _machine() and saved["kernel"] in available():
            return str(saved["kernel"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _measure() -> str:
    names = available()
    best = min(names, key=gemv_seconds) if len(names) > 1 else names[0]
    with contextlib.suppress(OSError):  # a read-only home costs a measurement, nothing else
        path = folders.cache("kernel.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(json.dumps({"machine": _machine(), "kernel": best}).encode())
    return best
