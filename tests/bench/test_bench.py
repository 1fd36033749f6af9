"""`bankai-edge bench`: complete figures, readable by machines, and a machine that tells little."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bankai_edge import _engine
from bankai_edge.bench import machine as machines
from bankai_edge.bench.bandwidth import largest_size, read_bandwidth, sweep
from bankai_edge.bench.products import kernel_rows, matrix_shapes, product_speeds
from bankai_edge.bench.switching import random_patch, switch_speeds
from bankai_edge.bench.timing import repeat, samples
from bankai_edge.cli.main import bankai_edge
from bankai_edge.model import Model
from bankai_edge.model.kernels import available
from bankai_edge.patch import decode
from support.trees import write


def bench(*args: str) -> Result:
    result = CliRunner().invoke(bankai_edge, ["bench", "--seconds", "0.02", *args])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """One short run of everything."""
    svg = tmp_path_factory.mktemp("bench") / "plot.svg"
    result = bench("--threads", "1,2", "--kernels", "--json", "--svg", str(svg))
    found: dict[str, Any] = json.loads(result.stdout)
    return found, svg


def test_json_is_complete_and_positive(report: tuple[dict[str, Any], Path]) -> None:
    found = report[0]
    assert (found["version"], found["kind"]) == (1, "bench")
    assert {t["threads"] for t in found["tests"]} == {1, 2}
    context = 256  # the nano's, shorter than the usual 512
    assert [t["test"] for t in found["tests"]] == ["pp64", f"pp{context}", "tg64"] * 2
    for test in found["tests"]:
        assert test["tokens_per_s"] > 0
        assert 0 < test["p50_ms"] <= test["p95_ms"]
        assert test["spread"] >= 0
        assert test["rounds"] >= 3
    assert all(t["read_share"] > 0 for t in found["tests"] if t["test"] == "tg64")
    assert all(r["gb_per_s"] > 0 for r in found["bandwidth"])
    assert len({r["bytes"] for r in found["bandwidth"]}) >= 8
    assert found["first_token_s"] > found["model"]["load_s"] > 0
    assert [s["what"] for s in found["switches"]] == [
        "overlay, first use", "overlay, prepared", "in place",
    ]  # fmt: skip
    for switch in found["switches"]:
        assert 0 < switch["p50_us"] <= switch["p99_us"]
        assert switch["rows"] == 93
    assert found["memory"]["over_weights_bytes"] > found["memory"]["state_bytes"] > 0
    assert found["memory"]["resident_bytes"] > found["memory"]["weights_bytes"] > 0
    assert any("throttl" in note for note in found["notes"])


def test_every_kernel_is_shown_and_each_that_runs_is_measured(
    report: tuple[dict[str, Any], Path], nano_path: Path
) -> None:
    found = report[0]
    assert [k["name"] for k in found["kernels"]] == [name for name, *_ in _engine.kernels()]
    assert all(k["needs"] for k in found["kernels"])
    shapes = len(matrix_shapes(Model(nano_path).core))
    measured = [(p["kernel"], p["threads"]) for p in found["products"]]
    assert {name for name, _ in measured} == set(available())
    assert len(measured) == len(available()) * 2 * shapes
    assert all(p["gb_per_s"] > 0 and p["read_share"] > 0 for p in found["products"])


def test_the_plot_is_xml_with_a_mark_for_every_figure(
    report: tuple[dict[str, Any], Path],
) -> None:
    found, svg = report
    root = ET.fromstring(svg.read_text())
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    assert len(root.findall(f"{space}circle")) == len(found["products"])
    assert len(root.findall(f"{space}rect")) == 1 + len(found["tests"])  # and the background
    assert len(root.findall(f"{space}polyline")) == 2
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for circle in root.findall(f"{space}circle"):
        assert 0 < float(circle.attrib["cx"]) < width
        assert 0 < float(circle.attrib["cy"]) < height


def test_the_table_names_model_threads_and_test() -> None:
    lines = bench("--threads", "1").stdout.splitlines()
    header = [cell.strip() for cell in lines[0].split("|")]
    for column in ("model", "size", "params", "threads", "test", "t/s"):
        assert column in header
    row = [cell.strip() for cell in lines[2].split("|")]
    assert row[header.index("test")] == "pp64"
    assert float(row[header.index("t/s")].split(" ± ")[0]) > 0


@pytest.mark.parametrize("threads", ["0", "1,x", "", "65"])
def test_thread_counts_are_checked(threads: str) -> None:
    result = CliRunner().invoke(bankai_edge, ["bench", "--threads", threads])
    assert result.exit_code == 2
    assert "1 to 64" in result.output


def test_bandwidth_is_of_the_level_that_holds_the_bytes() -> None:
    """A first-level cache reads faster than DRAM on every machine."""
    small, large = read_bandwidth(1, 16 << 10), read_bandwidth(1, largest_size())
    assert small > large > 1e8
    speeds = sweep(2, (16 << 10, 1 << 20), budget=0.01)
    assert [(s.threads, s.n_bytes) for s in speeds] == [(2, 16 << 10), (2, 1 << 20)]
    assert all(s.bytes_per_s > 0 for s in speeds)


def test_reading_counts_every_pass() -> None:
    """Ten passes take about ten times as long as one: none is optimised away."""
    data = np.ones(8 << 20, np.uint8).data
    one = repeat(lambda: _engine.read_all(data), least=15).quantile(0)  # the least disturbed
    ten = repeat(lambda: _engine.read_all(data, None, 10), least=5).quantile(0)
    assert 4 < ten / one < 25


def test_products_are_measured_at_the_shape_asked() -> None:
    kernel = available()[0]
    (speed,) = product_speeds([kernel], [(257, 384)], 1, budget=0.01)
    assert (speed.kernel, speed.threads, speed.rows, speed.cols) == (kernel, 1, 257, 384)
    assert speed.bytes_per_s > 0
    assert 0 < speed.read_share < 2


def test_switching_leaves_the_weights_as_they_were(nano_path: Path) -> None:
    model = Model(nano_path, writable=True)
    digest = model.weights_digest()
    first, prepared, in_place = switch_speeds(model, budget=0.02)
    assert prepared.switch.p50 < first.switch.p50
    assert first.slowdown is None
    assert prepared.slowdown is not None and prepared.slowdown > 0
    assert in_place.slowdown is not None and in_place.slowdown > 0
    assert model.weights_digest() == digest


def test_random_patches_are_bound_and_differ(nano_path: Path) -> None:
    model = Model(nano_path)
    a, b = (decode(random_patch(model, seed, rows=10, bits=5)) for seed in (1, 2))
    assert a.model_id == model.id
    assert (len(a.rows), len(a.bits)) == (10, 5)
    assert a.rows != b.rows
    assert random_patch(model, 1) == random_patch(model, 1)


def test_quantiles_and_repeats() -> None:
    taken = samples([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (taken.p50, taken.quantile(0), taken.quantile(1)) == (3.0, 1.0, 5.0)
    assert taken.spread == (4.0 - 2.0) / 2
    assert len(repeat(lambda: None, least=3, budget=0).seconds) == 3
    assert len(repeat(lambda: None, least=1, budget=9, most=7).seconds) == 7


# ---- the machine, as its files describe it -------------------------------------------------------


def test_a_raspberry_pi_tells_governor_heat_and_throttling(tmp_path: Path) -> None:
    cpufreq = "sys/devices/system/cpu/cpu0/cpufreq"
    throttled = "sys/devices/platform/soc/soc:firmware/get_throttled"
    root = write(
        tmp_path,
        {
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            "proc/meminfo": "MemTotal:        8000 kB\nMemAvailable:    4000 kB\n",
            f"{cpufreq}/scaling_governor": "ondemand\n",
            f"{cpufreq}/scaling_cur_freq": "1500000\n",
            f"{cpufreq}/cpuinfo_max_freq": "2400000\n",
            "sys/class/thermal/thermal_zone0/temp": "61500\n",
            throttled: "50005\n",
        },
    )
    found = machines.machine(root)
    assert found.cpu == "Raspberry Pi 5 Model B Rev 1.0"
    assert (found.governor, found.mhz, found.mhz_max, found.celsius) == (
        "ondemand", 1500.0, 2400.0, 61.5,
    )  # fmt: skip
    assert found.memory_bytes == 8000 * 1024
    assert machines.available_bytes(root) == 4000 * 1024
    assert any("ondemand" in note for note in found.notes)
    notes = machines.throttle_notes({}, machines.throttle_marks(root))
    assert len(notes) == 4
    assert any("under-voltage now" in note for note in notes)
    assert any("throttled now" in note for note in notes)


def test_throttling_of_a_pc_is_a_counter_that_rose(tmp_path: Path) -> None:
    counter = "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count"
    before = machines.throttle_marks(write(tmp_path, {counter: "3\n"}))
    assert machines.throttle_notes(before, before) == ["throttling: none seen"]
    after = machines.throttle_marks(write(tmp_path, {counter: "5\n"}))
    (note,) = machines.throttle_notes(before, after)
    assert "rose by 2" in note


def test_a_system_that_tells_nothing_is_said_to(tmp_path: Path) -> None:
    found = machines.machine(tmp_path)
    assert (found.governor, found.mhz, found.celsius, found.memory_bytes) == (None,) * 4
    assert found.cpu
    assert any("governor" in note for note in found.notes)
    assert "nothing" in machines.throttle_notes({}, machines.throttle_marks(tmp_path))[0]
    assert machines.memory(0, tmp_path / "absent", tmp_path).resident == 0


def test_memory_counts_the_mapped_pages_of_the_model_alone(tmp_path: Path) -> None:
    model = tmp_path / "a model.gguf"
    model.write_bytes(b"")
    root = write(
        tmp_path,
        {
            "proc/self/status": "Name:\tpython\nVmRSS:\t    9000 kB\n",
            "proc/self/smaps": (
                f"7f00-7f10 r--p 00000000 08:01 42    {model}\nSize: 800 kB\nRss: 300 kB\n"
                "7f20-7f30 r--p 00000000 08:01 43    /usr/lib/libc.so\nRss: 500 kB\n"
                f"7f40-7f50 r--p 00100000 08:01 42    {model}\nRss: 20 kB\nVmFlags: rd mr\n"
            ),
        },
    )
    found = machines.memory(1000 * 1024, model, root)
    assert found.weights == (1000 + 320) * 1024
    assert found.over_weights == (9000 - 1320) * 1024


def test_kernels_that_do_not_run_say_what_they_need() -> None:
    assert all(row.needs for row in kernel_rows())
    assert any(row.runs and row.name == "scalar" for row in kernel_rows())
