"""`model info`: what is in a file, what memory it needs, how fast it can be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bankai_edge import _engine
from bankai_edge._facts import F16
from bankai_edge.cli.main import bankai_edge
from bankai_edge.errors import UsageError
from bankai_edge.model import Model, Session
from bankai_edge.model.memory import memory_need
from bankai_edge.model.synth import write_model
from bankai_edge.model.weights import open_core
from bankai_edge.shapes import ModelShape

SHAPE = ModelShape("info", 3, 256, 384, 4, 2, 64, 401, 512)


def info(path: Path, *options: str) -> dict[str, object]:
    done = CliRunner().invoke(bankai_edge, ["model", "info", str(path), "--json", *options])
    assert done.exit_code == 0, done.exception
    fields: dict[str, object] = json.loads(done.stdout)
    return fields


@pytest.mark.parametrize("kernel", [k[0] for k in _engine.kernels() if k[2]])
@pytest.mark.parametrize("tied", [True, False])
def test_memory_is_what_is_taken(kernel: str, tied: bool, tmp_path: Path) -> None:
    """Told beforehand: the very bytes that model and session then allocate."""
    path = tmp_path / "m.gguf"
    write_model(path, replace(SHAPE, tied=tied), kind_of=lambda n: F16 if "attn_v" in n else None)
    _, core = open_core(path)
    need = memory_need(core, path.stat().st_size, kernel, 100, 2)
    assert core.packed_bytes == 0  # nothing was taken to tell
    model = Model(path, kernel=kernel, threads=2)
    session = Session(model, ctx=100)
    assert need.packed_bytes == model.core.packed_bytes
    assert need.kv_bytes + need.buffer_bytes == session._state.n_bytes
    assert need.kv_bytes == 3 * 100 * 2 * 64 * 2 * 2
    if not need.packed_bytes:
        whole = sum(t[4] for t in core.tensors())
        assert need.read_bytes == whole - (0 if tied else 401 * 2 * 18)
    assert need.tokens_per_s(1e9) == 1e9 / need.read_bytes
    assert need.tokens_per_s(1e9, full=True) == 1e9 / (need.read_bytes + need.kv_bytes)


def test_json(nano_path: Path) -> None:
    fields = info(nano_path, "--ctx", "128", "--threads", "1")
    memory = fields["memory"]
    assert isinstance(memory, dict)
    assert (fields["kind"], fields["version"], memory["ctx"]) == ("model-info", 1, 128)
    assert fields["id"] == Model(nano_path).id.hex()
    assert fields["types"]["Q1_0"]["tensors"] == 43  # type: ignore[index]
    assert memory["total_bytes"] > memory["kv_bytes"] == 6 * 128 * 2 * 32 * 4
    bandwidth, roof = fields["read_bandwidth_bytes_per_s"], fields["tokens_per_s_roof"]
    assert isinstance(bandwidth, float) and bandwidth > 1e8
    assert roof == pytest.approx(bandwidth / memory["read_bytes"])
    assert roof > fields["tokens_per_s_roof_full_context"] > 0  # type: ignore[operator]


def test_text(nano_path: Path) -> None:
    done = CliRunner().invoke(bankai_edge, ["model", "info", str(nano_path)])
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["layers"] == "6" and "tokens/s" in lines["speed"]
    assert lines["memory"].endswith("at a context of 256 tokens:")


def test_context_beyond_the_model(nano_path: Path) -> None:
    done = CliRunner().invoke(bankai_edge, ["model", "info", str(nano_path), "--ctx", "9999"])
    assert isinstance(done.exception, UsageError) and "1 to 256" in str(done.exception)
