"""The fuzzer's corpus, replayed under gcc's sanitizers: what it once reached stays clean."""

from __future__ import annotations

import subprocess
from pathlib import Path

import core_build as core

from support.compilers import ROOT, SANITIZE, build, compiler

CORPUS = ROOT / "tests/c/corpus_smp"


def test_the_corpus_of_the_smp_server_is_clean(tmp_path: Path) -> None:
    gcc = compiler("gcc", "apt-get install gcc")
    source = ROOT / "tests/c/fuzz_smp.c"
    inputs = sorted(CORPUS.iterdir())
    assert len(inputs) > 100 and sum(p.stat().st_size for p in inputs) < 200_000
    binary = tmp_path / "fuzz_smp"
    options = [core.DIALECT, *core.FLOAT_FLAGS, *core.include(), "-w", "-DBK_FUZZ_FILES"]
    build([gcc, *options, *SANITIZE, str(source), *map(str, core.SOURCES), "-o", str(binary)])
    done = subprocess.run([str(binary), *map(str, inputs)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(inputs)} inputs\n"
