"""The Cortex-M kernels on emulated chips: the host's bits, in no more instructions than counted.

Bare programs under QEMU's system emulation (tools/check/cross_cortex_m.py); the firmware has
its own tests.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import cross_cortex_m as cross
import firmware_sizes
import pytest

from bankai_edge import _patch
from bankai_edge.patch import encode
from support import ROOT
from support.compilers import missing, no_count_has_risen
from support.weights import Weights, host_hash

TABLE = json.loads((ROOT / "boards/counts/cortex_m.json").read_text())
TOKENS = list(range(40, 46))
KERNELS = {"m4": ["dsp", "scalar"], "m7": ["dsp", "scalar"], "m55": ["mve", "dsp", "scalar"]}
OVERLAY, IN_PLACE = 5_000, 40_000  # instructions that a switch of 93 rows of 256 may take


@pytest.fixture(scope="module")
def tools() -> None:
    tool = cross.missing_tool()
    if tool:
        missing(tool, f"apt-get install {cross.PACKAGES}")


@pytest.fixture(scope="module", params=KERNELS)
def chip(request: pytest.FixtureRequest, tools: None) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def objects(chip: str, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Core and kernels as the firmware compiles them."""
    return cross.library(cross.CHIPS[chip], tmp_path_factory.mktemp(chip), "-Os")


def assert_kernels_agree(chip: str, objects: list[Path], out: Path) -> None:
    test = ROOT / "tests/c/test_kernels.c"
    done = cross.run(cross.CHIPS[chip], cross.program(cross.CHIPS[chip], test, objects, out))
    verdicts = re.findall(r"^(\S+)\s+(\w+)$", done.stdout, re.M)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verdicts == [(kernel, "ok") for kernel in KERNELS[chip]]


def test_every_kernel_gives_the_scalar_bits(chip: str, objects: list[Path], tmp_path: Path) -> None:
    assert_kernels_agree(chip, objects, tmp_path)


def test_one_block_of_tables_at_a_time(chip: str, objects: list[Path], tmp_path: Path) -> None:
    """With half the tables nearly every matrix is wider than they are; -O3 changes no bit."""
    flags = ["-O3", *cross.STRICT, "-DBK_LUT_PANEL=128"]
    sources = cross.core.kernels("cortex_m")
    own = [cross.compile_one(cross.CHIPS[chip], source, tmp_path, flags) for source in sources]
    rest = [path for path in objects if path.stem not in {kernel.stem for kernel in own}]
    assert_kernels_agree(chip, own + rest, tmp_path)


def test_one_hash(chip: str, objects: list[Path], nano_path: Path, tmp_path: Path) -> None:
    """Logits have this host's bits: every kernel and chunking, both ways of applying a patch."""
    weights = Weights(bytearray(nano_path.read_bytes()))
    patch = encode(weights.random_patch(6, rows=40, groups=30, bits=60))
    (tmp_path / "random.bkp").write_bytes(patch)
    source = ROOT / "tests/c/hash_logits.c"
    binary = cross.program(cross.CHIPS[chip], source, objects, tmp_path)
    paths = (str(nano_path), str(tmp_path / "random.bkp"))
    done = cross.run(cross.CHIPS[chip], binary, *paths, *map(str, TOKENS))
    assert done.returncode == 0, done.stderr
    plain = host_hash(weights, None, TOKENS)
    patched = host_hash(weights, _patch.Overlay(weights.core, [patch]), TOKENS)
    assert plain != patched
    want = {"plain": plain, "reverted": plain, "overlay": patched, "in-place": patched}
    lines = [line.split() for line in done.stdout.splitlines()]
    assert not [line for line in lines if line[-1] != want[line[0]]]
    assert len(lines) == 13 * (len(KERNELS[chip]) - 1) + 4


def test_no_vector_float_where_subnormals_count(tools: None) -> None:
    """Helium flushes them, so the compiler may not use it unasked, where it would like to most."""
    for source in cross.core.SOURCES:
        text = cross.assembly(cross.CHIPS["m55"], source, "-O3")
        assert not re.findall(r"^\s*v\w+\.f32\s+q.*$", text, re.M), source.name


def test_no_instruction_count_has_risen(tools: None) -> None:
    no_count_has_risen("count_cortex_m.py", "cortex_m.json")


@pytest.mark.parametrize("kernel, budget", [("m4 dsp", 75), ("m7 dsp", 75), ("m55 mve", 22)])
def test_instruction_budget(kernel: str, budget: float) -> None:
    """The table keeps what was promised for 128 weights, quantising and tables included."""
    gemv = [value for name, value in TABLE[kernel].items() if name.startswith("gemv")]
    assert len(gemv) == 4 and max(gemv) <= budget


@pytest.mark.parametrize("name", KERNELS)
def test_a_switch_costs_little(name: str) -> None:
    costs = TABLE[f"{name} switch of 93 rows of 256"]
    assert costs["overlay, built before"] <= OVERLAY
    assert costs["in place, from none, with CRC"] <= IN_PLACE


def test_the_core_fits(tools: None, tmp_path: Path) -> None:
    """64 KB of flash with everything on, 20 KB for what only keeps patches."""
    table = firmware_sizes.sizes(tmp_path)
    for name, limit in firmware_sizes.LIMITS.items():
        assert 1024 < table[name]["flash"] <= limit
        assert table[name]["static RAM"] < 16
