"""This engine and llama.cpp in turn on the same GGUF: tokens/s, their ratio, and the roof.

    bankai-edge model synth --shape bonsai-1.7b -o /tmp/1.7b.gguf
    python tools/lab/bench_peers.py /tmp/1.7b.gguf --threads 1,2 --rounds 5 --json peers.json

Each run is a process of its own (A B A B …), so that neither inherits the other's heat, pages or
luck; both read the file from the page cache, run the same random tokens, and compute the logits of
the last one. Figures are medians over the rounds with the lowest and the highest; a ratio is the
median of the rounds' own ratios. llama.cpp comes as `pip install llama-cpp-python`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CONTEXT, SEED, WARM_UP = 1024, 1, 4
OURS, PEER = "bankai-edge", "llama.cpp"
Forward = Callable[[list[int], int], None]  # tokens, their first position


# ---- one run, in a process of its own ------------------------------------------------------------


def llama(path: Path, threads: int) -> tuple[Forward, int, dict[str, Any]]:
    """llama.cpp's forward pass, its vocabulary, and what it says of itself."""
    import llama_cpp

    model: Any = llama_cpp.Llama(
        str(path), n_ctx=CONTEXT, n_batch=512, n_ubatch=512, n_threads=threads,
        n_threads_batch=threads, verbose=False,
    )  # fmt: skip

    def forward(tokens: list[int], at: int) -> None:
        model.n_tokens = at
        model.eval(tokens)
        llama_cpp.llama_get_logits(model.ctx)  # waits for them

    system: Any = llama_cpp.llama_print_system_info()
    facts = {"version": llama_cpp.__version__, "system": system.decode()}
    return forward, model.n_vocab(), facts


def bankai(path: Path, threads: int) -> tuple[Forward, int, dict[str, Any]]:
    """This engine's forward pass, its vocabulary, its kernel, and the read bandwidth just now."""
    from bankai_edge import _engine
    from bankai_edge.bench.bandwidth import read_bandwidth
    from bankai_edge.defaults import BATCH
    from bankai_edge.model import Model

    roof = read_bandwidth(threads, path.stat().st_size, budget=0.5)
    model = Model(path, threads=threads)
    state = _engine.State(model.core, CONTEXT, BATCH, model.pool)
    logits = np.empty(model.shape.vocab, np.float32)

    def forward(tokens: list[int], at: int) -> None:
        state.truncate(at)
        state.forward(np.array(tokens, np.int32), logits)

    weights = model.core.packed_bytes or path.stat().st_size
    facts = {"kernel": model.core.kernel, "read_bytes_per_s": roof, "weight_bytes": weights}
    return forward, model.shape.vocab, facts


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found.group(1)) * 1024 if found else 0


def work(engine: str, path: Path, threads: int, tests: list[str]) -> dict[str, Any]:
    """Load, warm up, run every test once: its tokens/s by name, and facts."""
    start = time.perf_counter()
    forward, vocab, facts = (bankai if engine == OURS else llama)(path, threads)
    load_s = time.perf_counter() - start
    tokens = np.random.default_rng(SEED).integers(0, min(vocab, 50_000), CONTEXT).tolist()
    forward(tokens[:8], 0)
    for i in range(WARM_UP):
        forward(tokens[8 + i : 9 + i], 8 + i)
    speeds = {}
    for test in tests:
        n = int(test[2:])
        start = time.perf_counter()
        if test.startswith("pp"):
            forward(tokens[:n], 0)
        else:
            for i in range(n):
                forward(tokens[i : i + 1], i)
        speeds[test] = n / (time.perf_counter() - start)
    return {"speeds": speeds, "load_s": load_s, "resident_bytes": resident_bytes(), **facts}


# ---- the alternation -----------------------------------------------------------------------------


def run(engine: str, args: argparse.Namespace, threads: int) -> dict[str, Any]:
    """One worker's result."""
    command = [sys.executable, __file__, str(args.model), "--worker", engine, "--threads",
               str(threads), "--tests", ",".join(args.tests)]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def summary(values: list[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def compare(args: argparse.Namespace, threads: int) -> dict[str, Any]:
    """All rounds at one thread count."""
    results: dict[str, list[dict[str, Any]]] = {OURS: [], PEER: []}
    for number in range(args.rounds):
        for engine in (PEER, OURS):
            results[engine].append(run(engine, args, threads))
        print(f"… {threads} threads, round {number + 1} of {args.rounds}", file=sys.stderr)
    found: dict[str, Any] = {"threads": threads, "tests": {}}
    for test in args.tests:
        ours, peer = ([r["speeds"][test] for r in results[e]] for e in (OURS, PEER))
        found["tests"][test] = {
            OURS: summary(ours),
            PEER: summary(peer),
            "ratio": summary([a / b for a, b in zip(ours, peer, strict=True)]),
        }
    last = results[OURS][-1]
    found["kernel"] = last["kernel"]
    found["weight_bytes"] = last["weight_bytes"]
    found["read_gb_per_s"] = summary([r["read_bytes_per_s"] / 1e9 for r in results[OURS]])
    for engine in (OURS, PEER):
        found[engine] = {
            "load_s": statistics.median(r["load_s"] for r in results[engine]),
            "resident_bytes": statistics.median(r["resident_bytes"] for r in results[engine]),
        }
    found[PEER] |= {key: results[PEER][-1][key] for key in ("version", "system")}
    return found


def show(found: dict[str, Any]) -> None:
    """One thread count as text."""
    roof = found["read_gb_per_s"]
    print(f"\n{found['threads']} threads, kernel {found['kernel']}; read bandwidth "
          f"{roof['median']:.1f} GB/s ({roof['low']:.1f} to {roof['high']:.1f})")  # fmt: skip
    for test, row in found["tests"].items():
        cells = [
            f"{row[key]['median']:9.2f} ({row[key]['low']:.2f} to {row[key]['high']:.2f})"
            for key in (OURS, PEER, "ratio")
        ]
        line = f"{test:6} {OURS} {cells[0]}  {PEER} {cells[1]}  ratio {cells[2]}"
        if test.startswith("tg"):
            share = row[OURS]["median"] * found["weight_bytes"] / 1e9 / roof["median"]
            line += f"  {share:.0%} of read bandwidth"
        print(line)
    for engine in (OURS, PEER):
        own = found[engine]
        print(f"{engine}: loads in {own['load_s']:.2f} s, "
              f"resident {own['resident_bytes'] / 1e6:.0f} MB")  # fmt: skip


def main() -> None:
    """Prints the comparison; `--json` also writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tests", default="tg64,pp64,pp512", help="tg N writes, pp N reads")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", choices=(OURS, PEER), help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.tests = args.tests.split(",")
    if args.worker:
        print(json.dumps(work(args.worker, args.model, int(args.threads), args.tests)))
        return
    size = args.model.stat().st_size
    found = []
    for threads in map(int, args.threads.split(",")):
        found.append(compare(args, threads))
        show(found[-1])
    if args.json:
        report = {"file": args.model.name, "file_bytes": size, "rounds": args.rounds}
        args.json.write_text(json.dumps({**report, "runs": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
