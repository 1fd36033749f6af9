"""A board from inside: recognised, what slows it, its report, reports side by side."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bankai_edge.bench import board_report, side_by_side
from bankai_edge.bench.machine import machine
from bankai_edge.boards import boards
from bankai_edge.boards.conditions import conditions, fitting, pi_throttled, recognise
from bankai_edge.cli.main import bankai_edge
from bankai_edge.errors import BankaiError, IncompatibleError
from bankai_edge.shapes import SHAPES
from support.agents import Agent, bankai
from support.trees import write

CPUFREQ = "sys/devices/system/cpu/cpu0/cpufreq"
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
A76 = "processor\t: 0\nFeatures\t: fp asimd {}crc32\nCPU part\t: 0xd0b\n"
# A Raspberry Pi 5 at its best: every test below spoils one thing.
PI5 = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
    "proc/meminfo": "MemTotal: 8000000 kB\nSwapTotal: 100000 kB\nSwapFree: 100000 kB\n",
    "proc/cpuinfo": A76.format("asimddp "),
    f"{CPUFREQ}/scaling_governor": "ondemand\n",
    f"{CPUFREQ}/scaling_cur_freq": "2400000\n",
    f"{CPUFREQ}/scaling_max_freq": "2400000\n",
    f"{CPUFREQ}/cpuinfo_max_freq": "2400000\n",
    "sys/class/thermal/thermal_zone0/temp": "61500\n",
    THROTTLED: "0\n",
}


def pi5(root: Path, **changes: str) -> Path:
    """The Pi with some files changed, named by how their path ends."""
    files = dict(PI5)
    for word, text in changes.items():
        (name,) = (path for path in files if path.endswith(word))
        files[name] = text
    return write(root, files)


# ---- which board ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "board"), [(name, board.id) for board in boards() for name in board.compatible]
)
def test_a_board_is_known_by_its_device_tree(tmp_path: Path, name: str, board: str) -> None:
    for place in ("proc/device-tree", "sys/firmware/devicetree/base"):
        root = write(tmp_path / place[:3], {f"{place}/compatible": f"{name}\0brcm,some\0"})
        found = recognise(root, cpu="aarch64")
        assert found is not None and found.id == board


@pytest.mark.parametrize(
    ("cpu", "board"), [("x86_64", "x86-64"), ("aarch64", "aarch64"), ("riscv64", None)]
)
def test_another_machine_is_its_cpus_kind(tmp_path: Path, cpu: str, board: str | None) -> None:
    unknown = write(tmp_path, {"proc/device-tree/compatible": "maker,unknown\0"})
    for root in (unknown, tmp_path / "empty"):
        found = recognise(root, cpu=cpu)
        assert (found.id if found else None) == board


def test_a_healthy_board_has_no_warning(tmp_path: Path) -> None:
    now = conditions(pi5(tmp_path), kernel="neon-lut", cpu="aarch64", userland_bits=64)
    assert now.warnings == []
    assert (now.board, now.model) == ("rpi5", "Raspberry Pi 5 Model B Rev 1.0")
    assert (now.governor, now.mhz, now.mhz_max, now.celsius) == ("ondemand", 2400, 2400, 61.5)
    assert (now.throttled, now.swap_used, now.userland_bits) == (0, 0, 64)


# ---- what slows it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        ({"governor": "powersave\n"}, {}, ["governor powersave"]),
        ({"scaling_max_freq": "1500000\n"}, {}, ["limited to 1500 of 2400 MHz"]),
        ({"throttled": "1\n"}, {}, ["under-voltage now: a supply"]),
        ({"throttled": "50000\n"}, {}, ["there was under-voltage", "it was throttled"]),
        ({"throttled": "e0008\n"}, {}, ["temperature limit now", "was capped", "was throttled",
                                        "temperature limit was reached"]),
        ({"temp": "80100\n"}, {}, ["80 °C: the clock is lowered"]),
        ({"meminfo": "SwapTotal: 100000 kB\nSwapFree: 60000 kB\n"}, {}, ["39 MiB of swap"]),
        ({}, {"userland_bits": 32}, ["32-bit userland"]),
        ({}, {"kernel": "scalar"}, ["the scalar kernel is in use"]),
        ({"cpuinfo": A76.format("")}, {}, ["Cortex-A76 has dot-product instructions"]),
    ],
)  # fmt: skip
def test_what_slows_a_board_is_told(
    tmp_path: Path, changes: dict[str, str], options: dict[str, Any], says: list[str]
) -> None:
    now = conditions(
        pi5(tmp_path, **changes),
        **{"kernel": "neon-lut", "cpu": "aarch64", "userland_bits": 64, **options},
    )
    assert len(now.warnings) == len(says), now.warnings
    for warning, words in zip(now.warnings, says, strict=True):
        assert words in warning


def test_a_cpu_without_dot_product_is_not_told_to_have_it(tmp_path: Path) -> None:
    a72 = A76.format("").replace("0xd0b", "0xd08")
    now = conditions(pi5(tmp_path, cpuinfo=a72), kernel="neon-lut", cpu="aarch64")
    assert now.warnings == []


def test_throttling_is_told_by_kernel_sensor_or_program(tmp_path: Path) -> None:
    upstream = write(
        tmp_path / "upstream",
        {"sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
         "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
         "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"},
    )  # fmt: skip
    assert pi_throttled(upstream) == 1
    program = tmp_path / "vcgencmd"
    program.write_text('#!/bin/sh\ntest "$1" = get_throttled && echo throttled=0x50005\n')
    program.chmod(0o755)
    assert pi_throttled(tmp_path / "empty", str(program)) == 0x50005
    program.write_text("#!/bin/sh\necho VCHI initialization failed\nexit 1\n")
    assert pi_throttled(tmp_path / "empty", str(program)) is None
    assert pi_throttled(tmp_path / "empty") is None


def test_the_benchs_machine_carries_board_and_warnings(tmp_path: Path) -> None:
    found = machine(pi5(tmp_path, governor="powersave\n", throttled="1\n"))
    assert found.board == "rpi5" and len(found.warnings) == 2
    assert not any("powersave" in note for note in found.notes)  # once is enough


def test_warnings_on_the_wire_are_whole_sentences() -> None:
    sentences = ["a" * 200, "b" * 200, "c" * 50]
    assert fitting(sentences) == ["a" * 200, "c" * 50]
    assert fitting([]) == []


def test_a_running_agent_says_which_board_it_is(nano_path: Path, tmp_path: Path) -> None:
    here = conditions()
    with Agent(nano_path, tmp_path / "store", "--unix", tmp_path / "s") as agent:
        done = bankai("info", "--json", "-d", f"unix:{tmp_path / 's'}")
        told = bankai("info", "-d", f"unix:{tmp_path / 's'}")
    assert done.returncode == 0, done.stderr + agent.log
    info = json.loads(done.stdout)["info"]
    assert (info["board"], bool(info["kernel"])) == (here.board, True)
    assert info.get("warnings", []) == told.stderr.replace("warning: ", "").splitlines()


# ---- reports -------------------------------------------------------------------------------------


def bench(*args: str | Path) -> Result:
    return CliRunner().invoke(bankai_edge, ["bench", *map(str, args)])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real report of this machine."""
    path = tmp_path_factory.mktemp("reports") / "own.json"
    done = bench("--seconds", "0.02", "--threads", "1", "--board-report", path, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["kind"] == "bench"  # data on stdout as ever
    return path


def changed(report: Path, to: Path, **changes: Any) -> Path:
    """A copy with dotted keys set (`board_id` is board.id), or taken out where None."""
    fields = json.loads(report.read_text())
    for name, value in changes.items():
        *path, last = name.split("_", 1) if "_" in name else [name]
        place = fields
        for key in path:
            place = place[key]
        if value is None:
            del place[last]
        else:
            place[last] = value
    to.write_text(json.dumps(fields))
    return to


def test_a_report_is_complete_and_reads_back(own: Path) -> None:
    fields = json.loads(own.read_text())
    assert (fields["version"], fields["kind"]) == (1, "board-report")
    assert fields["when"].endswith("Z") and fields["conditions"]["system"].startswith("Linux")
    for look in ("before", "after"):
        assert set(fields["conditions"][look]) >= {"governor", "mhz", "celsius", "load"}
    report = board_report.read(own)
    recognised = recognise()
    assert report.board == (recognised.id if recognised else None)
    assert report.kernel == fields["kernel"]
    assert [(f.test, f.threads, f.per_s, f.spread) for f in report.figures] == [
        (t["test"], t["threads"], t["tokens_per_s"], t["spread"]) for t in fields["tests"]
    ]
    assert str(own.parent) not in own.read_text()  # no path of this machine


def test_reports_stand_side_by_side(own: Path, tmp_path: Path) -> None:
    tests = [
        {**t, "tokens_per_s": t["tokens_per_s"] / 2} for t in json.loads(own.read_text())["tests"]
    ]
    half = changed(own, tmp_path / "half.json", tests=tests, conditions_warnings=["it is slow"])
    plot = tmp_path / "plot.svg"
    done = bench("compare", own, half, "--svg", plot)
    assert done.exit_code == 0, done.output
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 2 * len(tests)
    slower = [row for row in table if "(half)" in row]
    assert len(slower) == len(tests) and all("| 0.50 " in " ".join(r.split()) for r in slower)
    assert "half: warning: it is slow" in done.stdout
    found = json.loads(bench("compare", own, half, "--json").stdout)
    ratios = [row["of_first"] for row in found["rows"] if row["report"] == "half"]
    assert ratios == pytest.approx([0.5] * len(tests))
    space = "{http://www.w3.org/2000/svg}"
    root = ET.fromstring(plot.read_text())
    bars = root.findall(f"{space}rect")[1:]  # the first is the background
    assert len(bars) == 2 * len(tests)
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for bar in bars:
        assert 0 < float(bar.attrib["x"]) + float(bar.attrib["width"]) < width
        assert 0 < float(bar.attrib["y"]) < height


def test_a_known_boards_decode_stands_beside_what_was_computed(own: Path, tmp_path: Path) -> None:
    shape = SHAPES["bonsai-1.7b"]
    weight_bytes = shape.multiplied_weights // 128 * 18
    tests = [{"test": "tg64", "threads": 4, "tokens_per_s": 8.8, "spread": 0.1},
             {"test": "pp64", "threads": 4, "tokens_per_s": 20.0, "spread": 0.1}]  # fmt: skip
    fields = json.loads(own.read_text())
    model = {**fields["model"], "weight_bytes": weight_bytes}
    pi = changed(own, tmp_path / "pi.json", board_id="rpi4", model=model, tests=tests)
    decode, prefill = side_by_side.rows([board_report.read(pi)])
    assert decode.of_computed is not None and 0.3 < decode.of_computed < 0.7
    assert prefill.of_computed is None
    virtual = changed(own, tmp_path / "virt.json", board_id="qemu-virt")
    assert any("emulated" in said for said in side_by_side.remarks([board_report.read(virtual)]))


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"kind": "bench"}, IncompatibleError, "is no board report of version 1"),
        ({"version": 2}, IncompatibleError, "board-report, version 2"),
        ({"tests": None}, BankaiError, "damaged: KeyError\\('tests'\\)"),
        ({"tests": []}, BankaiError, "damaged: ValueError\\('tests'\\)"),
        ({"board_name": None}, BankaiError, "damaged: KeyError\\('name'\\)"),
        ({"conditions": []}, BankaiError, "damaged"),
    ],
)
def test_a_file_that_is_no_report_is_refused(
    own: Path, tmp_path: Path, changes: dict[str, Any], error: type[BankaiError], says: str
) -> None:
    path = changed(own, tmp_path / "bad.json", **changes)
    with pytest.raises(error, match=says) as refusal:
        board_report.read(path)
    assert refusal.value.exit_code == (4 if error is IncompatibleError else 1)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("not JSON")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(BankaiError, match="it is no JSON"):
        board_report.read(tmp_path / "text.json")
    with pytest.raises(IncompatibleError, match="no board report"):
        board_report.read(tmp_path / "list.json")
    with pytest.raises(BankaiError, match="No such file"):
        board_report.read(tmp_path / "absent.json")
    done = bench("compare", tmp_path / "absent.json")
    assert isinstance(done.exception, BankaiError) and done.exception.exit_code == 1
