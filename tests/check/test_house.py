"""The house stands: no circle, no arrow up; and its guard sees one that is planted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from house import PLAN, TOPS, House, circles

from support import ROOT

# What to append to a file of a copy of the house, and the complaint about it.
PLANTED = {
    "an arrow up": (
        "bankai_edge/patch/sign.py",
        "def late() -> None:\n    from bankai_edge.cli import main",
        "imports bankai_edge/cli/main.py: bankai_edge/cli is above bankai_edge/patch",
    ),
    "an arrow up for types only": (
        "bankai_edge/errors.py",
        "if TYPE_CHECKING:\n    import bankai_edge.host.client",
        "imports bankai_edge/host/client.py: bankai_edge/host is above bankai_edge/errors.py",
    ),
    "a circle of files": (
        "bankai_edge/boards/schema.py",
        "import bankai_edge.boards.fit",
        "imports bankai_edge/boards/fit.py: a circle of files: "
        "bankai_edge/boards/fit.py > bankai_edge/boards/schema.py > bankai_edge/boards/fit.py",
    ),
    "a circle of headers": (
        "cython_ext/core/base/bk_bytes.h",
        '#include "bk_fp16.h"\n',
        "imports cython_ext/core/base/bk_fp16.h: a circle of files: "
        "cython_ext/core/base/bk_bytes.h >",
    ),
    "a header above": (
        "cython_ext/core/format/bk_gguf.h",
        '#include "bk_smp.h"\n',
        "imports cython_ext/core/link/bk_smp.h: cython_ext/core/link is above",
    ),
    "a binding that knows the agent": (
        "cython_ext/bind/_patch.pyx",
        "from bankai_edge.agent import journal",
        "imports bankai_edge/agent/journal.py: bankai_edge/agent is above cython_ext/bind",
    ),
    "a test that imports a test": (
        "tests/patch/test_patch.py",
        "from test_host import client",
        "imports tests/host/test_host.py: a test imports a test",
    ),
    "a tool that imports a test": (
        "tools/make/golden.py",
        "import support.agents",
        "imports tests/support/agents.py: tests/support is above tools/make",
    ),
    "a firmware that imports a tool": (
        "firmware/build.py",
        "import cross_cortex_m",
        "imports tools/check/cross_cortex_m.py: tools/check is above firmware",
    ),
}


def test_the_house_stands() -> None:
    assert House(ROOT).offenders() == []


def copy(to: Path) -> Path:
    """The house's sources, a second time."""
    for top in TOPS:
        leave = shutil.ignore_patterns("__pycache__", ".pio", "*.json", "*.gguf", "corpus_*")
        shutil.copytree(ROOT / top, to / top, ignore=leave)
    return to


def test_what_is_planted_is_found(tmp_path: Path) -> None:
    root = copy(tmp_path)
    (root / "tools/attic").mkdir()
    (root / "tools/attic/old.py").write_text("import house\n")
    lines = {}
    for what, (file, text, _) in PLANTED.items():
        source = (root / file).read_text()
        lines[what] = source.count("\n") + 1 + text.count("\n") - text.endswith("\n")
        (root / file).write_text(source + text)
    offenders = House(root).offenders()
    for what, (file, _, complaint) in PLANTED.items():
        said = f"{file}:{lines[what]}: {complaint}"
        assert any(offender.startswith(said) for offender in offenders), (what, said, offenders)
    assert f"tools/attic: no room of the house: give it a floor in {PLAN}" in offenders


def test_the_program_says_so_with_its_exit_code() -> None:
    done = subprocess.run([sys.executable, str(ROOT / PLAN)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith(" 0 offenders\n")


@pytest.mark.parametrize(
    ("edges", "found"),
    [
        ([("a", "b"), ("b", "c"), ("a", "c")], []),
        ([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")], [["a", "b", "c"]]),
        ([("a", "b"), ("b", "c"), ("c", "a"), ("b", "a")], [["a", "b"]]),
        ([("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")], [["a", "b"], ["c", "d"]]),
    ],
)
def test_circles(edges: list[tuple[str, str]], found: list[list[str]]) -> None:
    assert circles(edges) == found


def test_the_readme_draws_this_house() -> None:
    _, _, rest = (ROOT / "README.md").read_text().partition("\n## The house\n\n")
    drawn = rest.partition("\n\n")[0].splitlines()
    assert drawn == House(ROOT).draw(), f"run python {PLAN} --draw"


@pytest.mark.parametrize("folder", ["tools", "docs"])
def test_an_index_names_every_file(folder: str) -> None:
    index = (ROOT / folder / "README.md").read_text()
    files = [p for p in (ROOT / folder).rglob("*") if p.suffix in (".py", ".sh", ".md", ".cddl")]
    assert len(files) > 10
    assert [p.name for p in files if p.name not in index and p.name != "README.md"] == []
