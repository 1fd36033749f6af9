"""Boards: their files, what fits there by the engine's own plan, what they should reach."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import boards_page
import core_build as core
import pytest
from click.testing import CliRunner, Result

from bankai_edge import _engine
from bankai_edge._facts import kernel_bytes, memory_plan
from bankai_edge.boards import (
    Board,
    board_of_usb,
    boards,
    expect,
    find,
    fit,
    fits,
    largest_context,
    load_board,
    sizes_that_fit,
)
from bankai_edge.boards.conditions import recognise
from bankai_edge.cli.main import bankai_edge
from bankai_edge.errors import BankaiError, IncompatibleError, UsageError
from bankai_edge.image.recipes import RECIPES, recipe_of
from bankai_edge.model.synth import SHAPES as SYNTHETIC
from bankai_edge.model.weights import open_core, shape_of
from bankai_edge.shapes import NANO, SHAPES
from support.compilers import compiler

WHOLE = [board for board in boards() if board.cpu is not None]
LINUX = ("aarch64", "qemu-virt", "rpi-zero2w", "rpi3", "rpi4", "rpi5", "x86-64")
CHIPS = (
    "esp32-s3",
    "mps2-an500",
    "mps3-an547",
    "netduinoplus2",
    "nucleo-h743zi",
    "pico",
    "pico2",
    "stm32f405",
)


def run(*args: str) -> Result:
    return CliRunner().invoke(bankai_edge, ["boards", *args])


# ---- the files -----------------------------------------------------------------------------------

GOOD = """
name = "A board"
kind = "linux"
usb = ["2e8a:00ff"]
compatible = ["maker,board"]

[cpu]
name = "Cortex-A53"
architecture = "aarch64"
cores = 4
mhz = 1000
kernel = "neon-lut"

[memory]
ram = ["512 MiB", "1 GiB"]
reserved = "64 MiB"
reserved_for = "the kernel"

[bandwidth]
threads = [1, 4]
gb_per_s = [2, 3.5]
what = "a loop"
source = "https://example.org/"

[status]
untested = ["all"]
"""


def load(folder: Path, text: str) -> Board:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load_board(path)


def test_a_file_is_read_with_its_units(tmp_path: Path) -> None:
    board = load(tmp_path, GOOD)
    assert (board.id, board.kind, board.usb) == ("mine", "linux", ((0x2E8A, 0xFF),))
    assert board.cpu is not None and (board.cpu.mhz, board.cpu.features) == (1000, ())
    assert board.memory is not None and board.memory.ram == (512 << 20, 1 << 30)
    assert board.bandwidth is not None
    assert [board.bandwidth.at(n) for n in (1, 2, 4, 8)] == [2e9, 2e9, 3.5e9, 3.5e9]
    assert board.uart is None and board.image is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('kind = "linux"\n', "", "mine.toml: kind is missing; expected one of linux"),
        ('"linux"', '"windows"', "kind is 'windows'; expected one of linux"),
        ('name = "A board"', "name = 7", "name is 7; expected a text"),
        ('name = "A board"', 'name = "A board"\nspeed = 3', "speed is not known"),
        ("cores = 4", "cores = 0", "cpu.cores is 0; expected a whole number above 0"),
        ("cores = 4", "cores = true", "cpu.cores is True"),
        ("mhz = 1000", "mhz = 1e3", "cpu.mhz is 1000.0"),
        ('"aarch64"', '"mips"', "cpu.architecture is 'mips'"),
        ('"512 MiB", ', '"512MB", ', "memory.ram is .*; expected sizes, ascending"),
        ('"512 MiB", "1 GiB"', '"1 GiB", "512 MiB"', "expected sizes, ascending"),
        ('reserved = "64 MiB"', "reserved = 64", "memory.reserved is 64; expected a text as 512"),
        ('[memory]\nram = ["512 MiB", "1 GiB"]', "[memory]", "memory.ram is missing"),
        ("[2, 3.5]", "[2]", "bandwidth.gb_per_s has 1 numbers; expected one for each of the 2"),
        ("[2, 3.5]", "[2, -1]", "numbers above 0"),
        ("[1, 4]", "[4, 1]", "bandwidth.threads is .*ascending"),
        ('[status]\nuntested = ["all"]', "", "status is missing; expected a table"),
        ('untested = ["all"]', 'tested = ["all"]', "status.tested is not known"),
        ('"2e8a:00ff"', '"2e8a"', "'2e8a' is no USB id"),
        ('"2e8a:00ff"', '"2e8a:00fg"', "'2e8a:00fg' is no USB id"),
        ('reserved_for = "the kernel"', 'reserved_for = ""', "reserved_for is ''; expected a text"),
        (
            'reserved_for = "the kernel"',
            'reserved_for = "all"\nweights = "flash"',
            "memory.flash is missing",
        ),
        ("[cpu]", "[cpu", "expected a board's file in TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_the_key(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(BankaiError, match=says):
        load(tmp_path, GOOD.replace(old, new, 1))


def test_every_board_that_was_promised_is_there() -> None:
    assert {board.id for board in WHOLE if board.kind == "linux"} >= set(LINUX)
    assert {board.id for board in WHOLE if board.kind == "microcontroller"} >= set(CHIPS)


@pytest.mark.parametrize("board", WHOLE, ids=lambda board: board.id)
def test_a_board_says_what_stands_behind_it(board: Board) -> None:
    assert board.cpu is not None and board.memory is not None and board.status is not None
    assert kernel_bytes(board.cpu.kernel, 128, 128)
    said = [*board.status.measured, *board.status.emulated, *board.status.computed]
    assert said and all(said)
    if board.status.measured == () and board.id != "qemu-virt":
        assert board.status.untested, "nobody has run it: the file has to say so"
    assert bool(board.cpu.ipc) == bool(board.cpu.ipc_from)
    if board.bandwidth:
        assert board.bandwidth.source.startswith("https://") and board.bandwidth.what
    if board.image and board.uart:
        assert f"/dev/{board.image.uart}" in board.uart.devices
    if board.kind == "microcontroller":
        assert board.qemu or any("untested on hardware" in text for text in board.status.untested)


def test_a_raspberry_pi_says_how_to_free_its_uart() -> None:
    for name in ("rpi-zero2w", "rpi3", "rpi4"):
        uart = find(name).uart
        assert uart is not None and "dtoverlay=disable-bt" in uart.config_txt
        assert "console=serial0,115200" in uart.cmdline_remove
        assert "serial-getty@ttyAMA0.service" in uart.disable_services


def test_usb_ids_still_name_boards() -> None:
    names = {
        (0x2E8A, 0x000A): "pico", (0x0525, 0xA4A7): "raspberry-pi-gadget",
        (0x0483, 0x374B): "st-nucleo", (0x0483, 0x5740): "stm32f405",
        (0x0403, 0x6001): "usb-serial-adapter", (0x303A, 0x1001): "esp32-s3",
    }  # fmt: skip
    for (vendor, product), name in names.items():
        board = board_of_usb(vendor, product)
        assert board is not None and board.id == name


def test_an_unknown_board_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no board named 'rpi9'") as refusal:
        find("rpi9")
    assert refusal.value.exit_code == 2
    assert all(board.id in str(refusal.value) for board in boards())
    with pytest.raises(UsageError, match="'pico' is a microcontroller board") as refusal:
        find("pico", kind="linux")
    assert "rpi4" in str(refusal.value) and "esp32" not in str(refusal.value)


def test_a_board_has_an_image_just_where_a_recipe_says_how() -> None:
    assert {board.id for board in WHOLE if board.image} == set(RECIPES)
    for name in RECIPES:
        recipe = recipe_of(name)
        assert recipe.kernel and recipe.uart and recipe.uart not in recipe.console


# ---- what fits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [name for name, *_ in _engine.kernels()])
@pytest.mark.parametrize("size", [(48, 1, 1), (256, 64, 2), (100, 32, 4)])
def test_the_plan_is_the_engines_to_the_byte(
    kernel: str, size: tuple[int, int, int], nano_path: Path
) -> None:
    _, core = open_core(nano_path)
    planned = memory_plan(NANO.counts, kernel, *size)
    assert (planned["packed"], planned["state"]) == core.needs(kernel, *size)


def test_the_plan_for_cortex_m_is_that_of_its_kernel(tmp_path: Path) -> None:
    header = core.HERE / "kernels/cortex_m/bk_lut.h"
    source = tmp_path / "sizes.c"
    source.write_text(
        f'#include "{header}"\n#include <stdio.h>\nint main(void) {{\n'
        '    printf("%zu %zu", bk_lut_act_bytes(128), bk_lut_act_bytes(768));\n    return 0;\n}\n'
    )
    gcc, program = compiler("gcc", "apt-get install gcc"), tmp_path / "sizes"
    for board, columns in (
        ("nucleo-h743zi", 256),
        ("mps3-an547", 256),
        ("netduinoplus2", 128),
    ):
        options = [core.DIALECT, *core.include(), f"-DBK_LUT_PANEL={columns}"]
        subprocess.run([gcc, *options, str(source), "-o", str(program)], check=True)
        cpu = find(board).cpu
        assert cpu is not None
        sizes = list(map(int, subprocess.check_output([str(program)]).split()))
        planned = [kernel_bytes(cpu.kernel, 1, n, cpu.lookup_columns)[0] for n in (128, 768)]
        assert sizes == planned, board


def test_a_file_has_the_shape_that_it_is_listed_with(nano_path: Path) -> None:
    _, core = open_core(nano_path)
    found = shape_of(core)
    assert {**vars(found), "name": "nano"} == vars(NANO)
    planned = NANO.file_bytes + fit.HEADER_BYTES * NANO.vocab
    assert nano_path.stat().st_size <= planned < 1.02 * nano_path.stat().st_size


@pytest.mark.parametrize("name", SYNTHETIC)
def test_published_shapes_have_the_published_number_of_weights(name: str) -> None:
    published = {
        "bonsai-1.7b": 1_719_904_256, "bonsai-4b": 4_021_588_480, "bonsai-8b": 8_188_239_872,
    }  # fmt: skip
    shape = SHAPES[name]
    weights = shape.multiplied_weights + (0 if shape.tied else shape.vocab * shape.hidden)
    assert weights == published.get(name, weights)
    assert shape.file_bytes > weights // 128 * 18


def test_the_process_stays_within_what_is_planned_beside_the_weights(nano_path: Path) -> None:
    """A real agent's modules, model and session: resident memory against the plan's constants."""
    program = (
        "import sys\nfrom pathlib import Path\nimport bankai_edge.agent.service\n"
        "from bankai_edge.model import Model, Session\n"
        "from bankai_edge.bench.machine import memory\n"
        "model = Model(Path(sys.argv[1]), threads=1)\nsession = Session(model, ctx=64)\n"
        "session.logits(session.encode('17+25='))\n"
        "print(memory(model.core.packed_bytes, model.path).resident)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(nano_path)],
        capture_output=True, text=True, check=True, cwd="/",
    )  # fmt: skip
    planned = fits(find("x86-64"), NANO, 64)
    assert int(done.stdout) < planned.needed + (2 << 20)  # and the file's own pages
    assert int(done.stdout) > planned.needed / 3  # nor is the plan a fantasy


@pytest.mark.parametrize("board", WHOLE, ids=lambda board: board.id)
def test_the_largest_context_is_the_last_that_fits(board: Board) -> None:
    assert board.memory is not None
    for shape in SHAPES.values():
        for ram in board.memory.ram:
            ctx = largest_context(board, shape, ram=ram)
            assert ctx == 0 or fits(board, shape, ctx, ram=ram).ok
            assert ctx == shape.context or not fits(board, shape, ctx + 1, ram=ram).ok


def test_what_the_design_promises_fits() -> None:
    assert largest_context(find("netduinoplus2"), NANO) >= 48
    assert fits(find("rpi-zero2w"), SHAPES["bonsai-1.7b"], 256).ok
    assert sizes_that_fit(find("rpi4"), SHAPES["bonsai-8b"], 2048) == (2 << 30, 4 << 30, 8 << 30)


def test_a_model_too_large_is_refused_with_both_figures() -> None:
    assert fits(find("rpi4"), SHAPES["bonsai-1.7b"], 2048).ok
    too_large = fits(find("rpi3"), SHAPES["bonsai-8b"], 512)
    assert not too_large.ok and too_large.needed > too_large.available > 0
    with pytest.raises(IncompatibleError, match="at a context of 512 tokens") as refusal:
        too_large.check()
    for figure in (too_large.needed, too_large.available):
        assert fit.size(figure) in str(refusal.value)
    assert refusal.value.exit_code == 4
    in_flash = fits(find("pico2"), SHAPES["bonsai-0.6b"], 48)
    with pytest.raises(IncompatibleError, match="of flash") as refusal:
        in_flash.check()
    for figure in (in_flash.flash_needed, in_flash.flash_available):
        assert fit.size(figure) in str(refusal.value)


def test_a_size_of_ram_that_is_not_sold_is_refused() -> None:
    smallest = fits(find("rpi4"), SHAPES["bonsai-8b"], 2048, ram=1 << 30)
    assert not smallest.ok and smallest.ram == 1 << 30
    with pytest.raises(UsageError, match="expected one of 1 GiB, 2 GiB, 4 GiB, 8 GiB"):
        fits(find("rpi4"), NANO, 64, ram=3 << 30)
    with pytest.raises(UsageError, match="1 to 256 for nano"):
        fits(find("rpi4"), NANO, 257)
    with pytest.raises(BankaiError, match="is a serial port"):
        fits(find("st-nucleo"), NANO, 64)


# ---- what it should reach ------------------------------------------------------------------------


def test_expected_speed_is_the_smaller_bound_and_says_what_it_assumes() -> None:
    board, shape = find("rpi5"), SHAPES["bonsai-1.7b"]
    assert board.cpu is not None and board.bandwidth is not None
    one, four = expect.expect(board, shape, 1), expect.expect(board, shape, 4)
    assert one is not None and four is not None
    assert one.compute == pytest.approx(2400e6 * board.cpu.ipc / one.instructions)
    assert four.compute == pytest.approx(4 * one.compute)
    weights = memory_plan(shape.counts, "neon-lut", 1)["packed"]
    assert four.bytes_read == weights + 32 * shape.kv_bytes_per_token
    assert four.bandwidth == pytest.approx(11.59e9 / four.bytes_read)
    assert (one.bound, one.tokens_per_s) == ("compute", one.compute)
    assert (four.bound, four.tokens_per_s) == ("bandwidth", four.bandwidth)
    assert four.as_json()["status"] == "computed"
    said = " ".join(four.assumptions)
    assert f"{board.cpu.ipc:g} instructions per cycle" in said and "11.59 GB/s" in said
    best = expect.expect(board, shape)
    assert best is not None
    assert best.tokens_per_s == max(e.tokens_per_s for e in (one, four, best))


def test_instructions_of_a_token_are_those_counted() -> None:
    """A 1.7B model's products alone, at 15 instructions per 128 weights, and little beside."""
    shape = SHAPES["bonsai-1.7b"]
    found = expect.instructions_per_token(shape, "neon-lut")
    products = shape.multiplied_weights / 128 * 15
    assert found is not None and products < found < 1.1 * products
    later = expect.instructions_per_token(shape, "neon-lut", position=1000)
    assert later is not None and later > found
    slow = expect.instructions_per_token(shape, "scalar")
    assert slow is not None and slow > 50 * found
    assert expect.instructions_per_token(shape, "avx2-lut") is None


def test_chips_are_computed_from_counted_tokens_of_the_nano(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"m4 token": {"dsp": 3_000_000, "dsp, tables of 128 columns": 4_000_000},
              "m7 token": {"dsp": 2_000_000}}  # fmt: skip
    (tmp_path / "cortex_m.json").write_text(json.dumps(counts))
    monkeypatch.setattr(expect, "COUNTS", (tmp_path,))
    expect._counts.cache_clear()
    for name, instructions in (("stm32f405", 4_000_000), ("nucleo-h743zi", 2_000_000)):
        board, found = find(name), expect.expect(find(name), NANO)
        assert board.cpu is not None and found is not None
        assert (found.instructions, found.bandwidth, found.threads) == (instructions, None, 1)
        assert found.tokens_per_s == board.cpu.mhz * 1e6 * board.cpu.ipc / instructions
        assert "assumed" in found.assumptions[0]
    assert expect.expect(find("mps3-an547"), NANO) is None  # mve was not counted
    expect._counts.cache_clear()


def test_nothing_is_computed_without_counts_or_room() -> None:
    assert expect.expect(find("x86-64"), NANO) is None  # x86 kernels were not counted
    assert expect.expect(find("esp32-s3"), NANO) is None
    assert expect.expect(find("rpi3"), SHAPES["bonsai-8b"]) is None  # does not fit
    assert expect.expect(find("netduinoplus2"), SHAPES["bonsai-0.6b"]) is None


# ---- the verb ------------------------------------------------------------------------------------


def test_the_table_lists_every_board() -> None:
    done = run()
    assert done.exit_code == 0
    for board in WHOLE:
        assert re.search(rf"^\| {re.escape(board.id)} ", done.stdout, re.M), board.id
    found = json.loads(run("--json").stdout)
    assert (found["version"], found["kind"]) == (1, "boards")
    assert {board["id"] for board in found["boards"]} == {board.id for board in WHOLE}


def test_show_tells_what_fits_and_how_to_free_the_uart() -> None:
    done = run("show", "rpi4")
    assert done.exit_code == 0
    assert "dtoverlay=disable-bt" in done.stdout and "https://" in done.stdout
    assert re.search(r"bonsai-8b +1 GiB: no +2 GiB: [\d,]+", done.stdout)
    assert "untested   everything on the board itself" in done.stdout
    found: dict[str, Any] = json.loads(run("show", "rpi4", "--json").stdout)["board"]
    rows = {(row["model"], row["ram"]): row["largest_context"] for row in found["fits"]}
    assert rows["bonsai-8b", 1 << 30] == 0 < rows["bonsai-8b", 2 << 30]
    assert found["usb"] == [] and found["cpu"]["kernel"] == "neon-lut"


def test_show_without_a_name_is_this_machine() -> None:
    here = recognise()
    if here is None:
        pytest.skip("this machine's CPU is of no known kind")
    done = run("show")
    assert done.exit_code == 0 and done.stdout.startswith(here.name)
    found = json.loads(run("show", "--json").stdout)
    assert found["board"]["id"] == found["now"]["board"] == here.id
    assert "now" not in json.loads(run("show", "rpi4", "--json").stdout)
    assert json.loads(run("--json").stdout)["here"] == here.id


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.id)
def test_every_board_can_be_shown(board: Board) -> None:
    done = run("show", board.id)
    assert done.exit_code == 0 and board.name in done.stdout


@pytest.mark.parametrize("verb", ["show", "expect"])
def test_an_unknown_board_exits_with_2(verb: str) -> None:
    done = CliRunner().invoke(bankai_edge, ["boards", verb, "rpi9"])
    assert isinstance(done.exception, UsageError) and done.exception.exit_code == 2
    assert "rpi-zero2w" in str(done.exception)


def test_expect_takes_published_sizes_and_files(nano_path: Path) -> None:
    done = run("expect", "rpi4", "-m", "bonsai-1.7b")
    assert done.exit_code == 0 and "Computed, not measured" in done.stdout
    assert "4.31 GB/s" in done.stdout
    found = json.loads(run("expect", "rpi4", "-m", str(nano_path), "-t", "1", "--json").stdout)
    (only,) = found["expected"]
    assert (only["status"], only["threads"], only["bound"]) == ("computed", 1, "compute")
    unknown = CliRunner().invoke(bankai_edge, ["boards", "expect", "-m", "bonsai-9b"])
    assert isinstance(unknown.exception, UsageError) and "bonsai-8b" in str(unknown.exception)
    nothing = CliRunner().invoke(bankai_edge, ["boards", "expect", "x86-64"])
    assert isinstance(nothing.exception, UsageError)


def test_the_page_is_up_to_date() -> None:
    """docs/boards.md and its plot are what the boards' files, counts and reports give today."""
    found, plot = boards_page.parts()
    page = boards_page.PAGE.read_text(encoding="utf-8")
    assert boards_page.renewed(page, found) == page, "run: python tools/make/boards_page.py --write"
    assert boards_page.PLOT.read_text(encoding="utf-8") == plot
    with pytest.raises(ValueError, match="<!-- fits -->"):
        boards_page.renewed(page.replace("<!-- fits -->", ""), found)
