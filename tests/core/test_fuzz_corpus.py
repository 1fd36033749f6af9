"""The fuzzer's corpus, replayed under gcc's sanitizers: what it once reached stays clean."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from support.compilers import CORE, ROOT, build, compiler, zcbor_root

CORPUS = ROOT / "tests/c/corpus_smp"


def test_the_corpus_of_the_smp_server_is_clean(tmp_path: Path) -> None:
    gcc = compiler("gcc", "apt-get install gcc")
    zcbor = zcbor_root()
    source = ROOT / "tests/c/fuzz_smp.c"
    named = re.findall(r"core/(\S+\.c)", source.read_text().splitlines()[0])
    inputs = sorted(CORPUS.iterdir())
    assert len(inputs) > 100 and sum(p.stat().st_size for p in inputs) < 200_000
    binary = tmp_path / "fuzz_smp"
    build([gcc, "-std=c11", "-w", "-g", "-O1", "-fno-strict-aliasing", "-DBK_FUZZ_FILES",
           "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{CORE}",
           "-isystem", str(zcbor / "include"), str(source), *(str(CORE / n) for n in named),
           *map(str, (zcbor / "src").glob("zcbor_[cde]*.c")), "-o", str(binary)])  # fmt: skip
    done = subprocess.run([str(binary), *map(str, inputs)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(inputs)} inputs\n"
