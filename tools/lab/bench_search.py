"""How fast a search judges: exact evaluations a second, from every layer's kept residual.

    python tools/lab/bench_search.py                       # the nano on its own probes
    python tools/lab/bench_search.py -m MODEL --probes 60  # another shape, on random tokens

An evaluation reads every probe once. Seconds are of the wall; `--gradient` adds one backward pass.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bankai_edge.judge.crew import Reading, Threads
from bankai_edge.model import Model
from bankai_edge.probes.domains import Item
from bankai_edge.probes.packs import Pack, Probe, search_packs
from bankai_edge.search.climb.objective import Objective
from bankai_edge.search.climb.proposals import Focus
from bankai_edge.search.climb.sites import ROW, as_bytes
from bankai_edge.shipped import NANO


def some_probes(model: Model, n: int) -> tuple[Probe, ...]:
    """Random texts of 10 prompt and 3 answer tokens, a third of each shared with others."""
    rng = np.random.default_rng(1)
    heads = rng.integers(0, model.shape.vocab, (max(1, n // 10), 4))
    found = []
    for i in range(n):
        rest = rng.integers(0, model.shape.vocab, 9)
        tokens = [int(t) for t in (*heads[i % len(heads)], *rest)]
        item = Item("random", "", str(i), "", "train")
        found.append(Probe(item, tuple(tokens[:10]), tuple(tokens[10:])))
    return tuple(found)


def seconds(work: Callable[[], Any], least: float) -> float:
    """Mean of as many runs as fill `least` seconds; one run first is not counted when short."""
    start = time.perf_counter()
    work()
    once = time.perf_counter() - start
    if once > least:
        return once
    runs = max(1, int(least / max(once, 1e-6)))
    start = time.perf_counter()
    for _ in range(runs):
        work()
    return (time.perf_counter() - start) / runs


def llama_seconds(path: Path, probes: tuple[Probe, ...], threads: int, least: float) -> float:
    """One full forward pass of every probe through llama.cpp's Python binding."""
    import llama_cpp

    model: Any = llama_cpp.Llama(
        str(path), n_ctx=64, n_threads=threads, n_threads_batch=threads, logits_all=True,
        verbose=False, use_mmap=True,
    )  # fmt: skip

    def read_all() -> None:
        for probe in probes:
            model.reset()
            model.eval(list(probe.tokens))

    return seconds(read_all, least)


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", type=Path, default=NANO)
    parser.add_argument("--probes", type=int, help="random ones instead of the nano's own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gradient", action="store_true", help="one backward pass too")
    parser.add_argument("--llama", action="store_true", help="llama.cpp's pass of each probe too")
    parser.add_argument("--device", default="cpu", help="PyTorch's, for the backward pass")
    parser.add_argument("--least", type=float, default=1.0, help="seconds of each measurement")
    args = parser.parse_args()
    model = Model(args.model, threads=1)
    if args.probes:
        probes = some_probes(model, args.probes)
    else:
        probes = search_packs("add_question", model.tokenizer, 1)[0].target
    layers = model.shape.layers
    start = time.perf_counter()
    reading = Reading(Threads(model, args.threads), probes, tap_bytes=4 << 30)
    found: dict[str, Any] = {
        "model": model.name,
        "kernel": model.core.kernel,
        "threads": args.threads,
        "probes": len(probes),
        "first_pass_s": time.perf_counter() - start,
        "seconds_from_layer": {},
    }
    for layer in sorted({0, layers // 4, layers // 2, 3 * layers // 4, layers - 1}):
        patch = as_bytes([(ROW, layer, 4, 5, 0)])
        taken = seconds(partial(reading.scores, patch, layer), args.least)
        found["seconds_from_layer"][layer] = taken
    if args.llama:
        found["llama_s"] = llama_seconds(args.model, probes, args.threads, args.least)
    if args.gradient:
        from bankai_edge.search.gradient.backward import TorchGradient

        pack = Pack(probes, ())
        before = Reading(Threads(model, 1), ()).scores([])
        gradient = TorchGradient(model, pack, before, Objective(), threads=args.threads,
                                 device=args.device)  # fmt: skip
        start = time.perf_counter()
        gains = gradient(frozenset(), Focus(np.arange(len(probes)), np.arange(0)))
        found["gradient_s"] = time.perf_counter() - start
        found["candidates"] = len(gains.best)
    found["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
