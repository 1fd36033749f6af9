"""A search's two costs on a shape that no nano can stand for: a gradient pass, exact evaluations.

The weights are random: what is found means nothing, how long it takes and what it needs does.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_search import some_probes

from bankai_edge.judge.crew import Reading, Threads
from bankai_edge.judge.reading import Scores
from bankai_edge.model import Model
from bankai_edge.probes.packs import Pack
from bankai_edge.search.climb.objective import Objective
from bankai_edge.search.climb.proposals import Focus
from bankai_edge.search.climb.sites import Site, as_bytes, lowest_layer

SHAPE = "bonsai-1.7b"
PROBES, EVALUATIONS = 60, 50
TAP_BYTES = 2 << 30
THREADS = 2
Found = dict[str, Any]


def run_synthetic(_: Model) -> Found:
    """A synthetic 1.7B: one gradient pass, then 50 exact evaluations of 60 probes."""
    from bankai_edge.search.gradient.backward import TorchGradient

    began = time.perf_counter()
    found: Found = {"shape": SHAPE, "probes": PROBES, "threads": THREADS, "seconds": {}}

    def mark(step: str, since: float) -> None:
        found["seconds"][step] = time.perf_counter() - since

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synthetic.gguf"
        command = [sys.executable, "-m", "bankai_edge", "model", "synth", "--shape", SHAPE]
        subprocess.run([*command, "-o", str(path)], check=True, stdout=subprocess.DEVNULL)
        mark("make the file", began)
        model = Model(path, threads=1)
        probes = some_probes(model, PROBES)
        since = time.perf_counter()
        reading = Reading(Threads(model, THREADS), probes, tap_bytes=TAP_BYTES)
        before = reading.scores([])
        mark("first passes", since)
        since = time.perf_counter()
        nobody = Scores.of(np.empty((3, 0)))
        gradient = TorchGradient(model, Pack(probes, ()), nobody, Objective(), threads=THREADS)
        mark("unpack for PyTorch", since)
        since = time.perf_counter()
        gains = gradient(frozenset(), Focus(np.arange(PROBES), np.arange(0)))
        mark("gradient pass", since)
        since = time.perf_counter()
        best = sorted(gains.best, reverse=True)[:EVALUATIONS]
        rises = [_rise(reading, before, site) for _, site in best]
        mark("evaluations", since)
    found["layers"] = sorted(site[1] for _, site in best)
    found["rises"] = sum(rise > 0 for rise in rises)
    found["candidates"] = len(gains.best)
    found["dtype"] = gradient.dtype
    found["candidates_per_s"] = EVALUATIONS / found["seconds"]["evaluations"]
    found["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    found["load"] = os.getloadavg()[0]
    mark("whole", began)
    return found


def _rise(reading: Reading, before: Scores, site: Site) -> float:
    """Mean change of log p that a single flip brings, by the engine."""
    after = reading.scores(as_bytes([site]), lowest_layer([site], 0))
    return float((after.logprob - before.logprob).mean())


def show_synthetic(found: Found) -> list[list[str]]:
    """Seconds by step, then what they bought."""
    rows = [["step", "s"]]
    rows += [[step, f"{seconds:.0f}"] for step, seconds in found["seconds"].items()]
    rows.append(["evaluations of 60 probes a second", f"{found['candidates_per_s']:.2f}"])
    rows.append(["flips ranked in the pass", str(found["candidates"])])
    rows.append(["tried flips that raise log p", f"{found['rises']} of {EVALUATIONS}"])
    rows.append(["most memory (resident), GB", f"{found['peak_gb']:.1f}"])
    rows.append(["load of the machine (2 cores)", f"{found['load']:.1f}"])
    return rows
