"""The aarch64 kernels on emulated CPUs of the Raspberry Pis: exact, well dispatched, no slower.

Static programs under QEMU's user mode: no arm64 Python, wheel or root file system is needed.
"""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from pathlib import Path

import cross_aarch64 as cross
import pytest
from build_aarch64 import check_wheel

from bankai_edge import _patch
from bankai_edge._facts import kernel_bytes
from bankai_edge.patch import encode
from support import ROOT
from support.compilers import C_TESTS, missing, no_count_has_risen
from support.weights import Weights, host_hash

TOKENS = range(40, 61)
BUDGET = {True: 24, False: 40}  # instructions per 128 weights with and without dot product


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The core and its kernels, compiled with the flags of the wheel."""
    tool = cross.missing_tool()
    if tool:
        missing(tool, f"apt-get install {cross.PACKAGES}")
    return cross.library(tmp_path_factory.mktemp("aarch64"))


@pytest.mark.parametrize("test", C_TESTS, ids=lambda p: p.stem)
def test_unit(test: Path, objects: list[Path], tmp_path: Path) -> None:
    """Each C test passes on each CPU, and each CPU is given just the kernels that it can run."""
    binary = cross.program(test, objects, tmp_path)
    for cpu, (_, has_dot_product) in cross.CPUS.items():
        done = cross.run(binary, cpu)
        assert done.returncode == 0, f"{cpu}: {done.stdout}{done.stderr}"
        if test.stem == "test_kernels":
            verdicts = dict(re.findall(r"^(\S+)\s+(ok|needs)\b", done.stdout, re.M))
            assert verdicts == {
                "neon-lut": "ok",
                "neon-sdot": "ok" if has_dot_product else "needs",
                "neon-popcount": "ok",
                "scalar": "ok",
            }, cpu


def test_kernels_keep_their_bounds(
    objects: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernels' test once more, under the address and undefined-behaviour sanitizers."""
    sanitize = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    kernels = cross.core.kernels("arm").items()
    own = [cross.compile_one(source, tmp_path, [*flags, *sanitize]) for source, flags in kernels]
    rest = [path for path in objects if path.stem not in {kernel.stem for kernel in own}]
    binary, test = tmp_path / "test_kernels", ROOT / "tests/c/test_kernels.c"
    subprocess.run(
        [cross.GCC, *cross.FLAGS, *sanitize, str(test), *map(str, own + rest), "-o", str(binary)],
        check=True,
    )
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")  # which emulation cannot look for
    done = cross.run(binary, "max")
    assert done.returncode == 0 and "neon-sdot        ok" in done.stdout, done.stdout + done.stderr


def test_boards_plan_with_the_sizes_that_kernels_have(objects: list[Path], tmp_path: Path) -> None:
    """What the core plans for a NEON kernel that is not here, to the byte."""
    shapes = ((512, 256), (151_669, 2048), (65, 1152))
    binary = cross.program(ROOT / "tests/c/kernel_sizes.c", objects, tmp_path)
    done = cross.run(binary, "max", *(str(n) for shape in shapes for n in shape))
    found = {name: list(map(int, rest)) for name, *rest in map(str.split, done.stdout.splitlines())}
    assert set(found) == {"neon-lut", "neon-sdot", "neon-popcount", "scalar"}
    for kernel, sizes in found.items():
        planned = [kernel_bytes(kernel, rows, cols) for rows, cols in shapes]
        assert sizes == [n for pair in planned for n in pair], kernel


def test_dot_products_are_in_one_object_only(objects: list[Path]) -> None:
    """What runs unasked on every CPU holds no instruction that some CPU lacks."""
    found = set()
    for path in objects:
        text = subprocess.check_output(["aarch64-linux-gnu-objdump", "-d", str(path)], text=True)
        if re.search(r"\t[su]dot\t", text):
            found.add(path.stem)
    assert found == {"neon_sdot"}


@pytest.mark.parametrize("cpu", cross.CPUS)
def test_one_hash(cpu: str, objects: list[Path], nano_path: Path, tmp_path: Path) -> None:
    """Logits have this host's bits: every kernel, chunking, threads, way of applying a patch."""
    weights = Weights(bytearray(nano_path.read_bytes()))
    patch = encode(weights.random_patch(5, rows=40, groups=30, bits=60))
    (tmp_path / "random.bkp").write_bytes(patch)
    binary = cross.program(ROOT / "tests/c/hash_logits.c", objects, tmp_path)
    done = cross.run(binary, cpu, str(nano_path), str(tmp_path / "random.bkp"), *map(str, TOKENS))
    assert done.returncode == 0, done.stderr
    plain = host_hash(weights, None)
    patched = host_hash(weights, _patch.Overlay(weights.core, [patch]))
    assert plain != patched
    want = {"plain": plain, "reverted": plain, "overlay": patched, "in-place": patched}
    lines = [line.split() for line in done.stdout.splitlines()]
    wrong = [line for line in lines if line[0] != "skipped" and line[-1] != want[line[0]]]
    assert not wrong
    skipped = [line[1] for line in lines if line[0] == "skipped"]
    assert skipped == ([] if cross.CPUS[cpu][1] else ["neon-sdot"])
    assert len(lines) == len(skipped) + 13 * (3 - len(skipped)) + 4


def test_no_instruction_count_has_risen(objects: list[Path]) -> None:
    no_count_has_risen("count_instructions.py", "instructions.json")


def test_instruction_budget() -> None:
    """The table keeps what was promised: at most 24 with dot product, 40 without."""
    table = json.loads((ROOT / "boards/counts/instructions.json").read_text())
    for kernel, dot_product in {"neon-lut": False, "neon-sdot": True}.items():
        gemv = {k: v for k, v in table[kernel].items() if re.fullmatch(r"gemv \d+x\d+", k)}
        assert len(gemv) == 3
        assert max(gemv.values()) <= BUDGET[dot_product], (kernel, gemv)


@pytest.mark.parametrize(
    ("name", "machine", "symbols", "refusal"),
    [
        ("_engine.abi3.so", 62, b"", "ELF machine 62"),
        ("_engine.cpython-311-aarch64-linux-gnu.so", 183, b"", "not every Python would import"),
        ("_engine.abi3.so", 183, b"GLIBC_2.34", "glibc 2.34"),
        ("_engine.py", 183, b"", "no compiled module"),
    ],
)
def test_a_wrong_wheel_is_refused(
    name: str, machine: int, symbols: bytes, refusal: str, tmp_path: Path
) -> None:
    """A wheel can be named aarch64 and hold anything."""
    wheel = tmp_path / "bankai_edge-0-cp311-cp311-linux_aarch64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        header = b"\x7fELF\x02" + bytes(13) + machine.to_bytes(2, "little")
        archive.writestr(f"bankai_edge/{name}", header + b"\0GLIBC_2.17\0" + symbols)
    with pytest.raises(ValueError, match=refusal):
        check_wheel(wheel)
