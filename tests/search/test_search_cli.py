"""`bankai-edge search` as a user meets it: files written or not, exit codes, log, JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bankai_edge.cli.main import main
from bankai_edge.errors import UsageError
from bankai_edge.model import Model
from bankai_edge.patch.bkp import decode
from bankai_edge.probes.domains import items
from bankai_edge.search.climb.loop import Found, State
from bankai_edge.search.climb.proposals import Focus, Gains
from bankai_edge.search.job import Checkpoint, Job, search
from bankai_edge.search.strategies.plug import Strategy, Task
from bankai_edge.search.strategies.table import STRATEGIES
from bankai_edge.shipped import ARITH, NANO
from support.sites import of_patch


def code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["search", *arguments])
    return int(str(stop.value.code))


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    """Options that name small probe files: sums to teach, other arithmetic to leave alone."""
    chosen = []
    for role, form, counts in (("target", "add_question", (60, 60, 60)),
                               ("control", "sub_eq", (30, 20, 20))):  # fmt: skip
        some = items("arithmetic", form, "probe", counts[0] + counts[1], seed=1)
        some += items("arithmetic", form, "heldout", counts[2], seed=1)
        splits = [s for s, n in zip(("train", "validation", "heldout"), counts, strict=True)
                  for _ in range(n)]  # fmt: skip
        probes = [
            {"prompt": i.prompt, "correct": i.answer, "end": True, "split": split}
            for i, split in zip(some, splits, strict=True)
        ]
        path = tmp_path / f"{form}.json"
        path.write_text(json.dumps(probes))
        chosen += [f"--{role}", str(path)]
    return chosen


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients that know the shipped patch: the search around them is the real one."""
    pytest.importorskip("torch")
    from bankai_edge.search.gradient import backward

    known = of_patch(decode(ARITH.read_bytes()))

    class Oracle:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __call__(self, sites: Any, focus: Focus) -> Gains:
            return Gains([(1.0, s) for s in sorted(known - sites)], dict.fromkeys(sites, -1.0))

    monkeypatch.setattr(backward, "TorchGradient", Oracle)


def test_a_patch_that_helps_is_written(
    oracle: None, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, log = tmp_path / "sums.bkp", tmp_path / "log.jsonl"
    how = ["--evaluations", "8", "--budget-bytes", "300", "--threads", "2"]
    told = ["--log", str(log), "--json"]
    assert code(*small, "-o", str(out), *how, *told) == 0
    shown = json.loads(capsys.readouterr().out)
    written = decode(out.read_bytes())
    assert shown["kind"] == "search" and shown["file"] == str(out)
    assert shown["bytes"] == out.stat().st_size <= 300
    heldout = shown["heldout"]
    assert heldout["target"]["fixed"] > 10 and heldout["target"]["broken"] <= 2
    assert written.bound and written.name == "sums"
    assert written.provenance["form"] == "add_question"
    assert len(written.bits) == shown["flips"]
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"start", "accept", "validation", "held-out"} <= {e["event"] for e in events}
    assert not list(tmp_path.glob("*.search.json"))


def test_nothing_is_written_when_nothing_helps(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "none.bkp"
    how = ["--strategy", "random", "--evaluations", "2", "--threads", "1"]
    assert code(*small, "-o", str(out), *how) == 1
    assert "no patch found that helps held-out" in capsys.readouterr().err
    assert not out.exists()


def test_a_skill_that_the_model_lacks_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command of docs/search.md, cut short; every control of the gate takes part."""
    out = tmp_path / "from.bkp"
    how = ["--budget-bytes", "512", "--strategy", "scale", "--evaluations", "8", "--threads", "1"]
    assert code("--target", "nano:sub_from", *how, "-o", str(out), "--json") == 1
    told = capsys.readouterr()
    shown = json.loads(told.out)
    assert "no patch found that helps held-out (" in told.err
    assert shown["file"] is None and shown["refusals"]
    assert shown["evaluations"] >= 8 and shown["probes"]["control"] > 5000
    assert not list(tmp_path.iterdir())


def test_a_strategy_is_a_line_of_the_table(
    small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says of itself is what a job asks of it; nothing else knows its name."""
    asked: list[Task] = []

    def run_(task: Task) -> Found:
        asked.append(task)
        return Found()

    mine = Strategy("mine", run_, granularity="group", projections=(6,), least_targets=2)
    monkeypatch.setitem(STRATEGIES, mine.name, mine)
    job = Job(NANO, (small[1],), "a", controls=(small[3],), strategy="mine")
    with pytest.raises(UsageError, match="mine wants several targets"):
        search(job, lambda event: None)
    monkeypatch.setitem(STRATEGIES, mine.name, replace(mine, least_targets=1))
    assert search(job, lambda event: None).patch is None
    assert (asked[0].granularity, asked[0].projections) == ("group", (6,))


def test_bad_calls_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "a.bkp")
    assert code("--target", "nano:nothing", "-o", out) == 2
    assert code("--target", "nano:add_question", "-o", str(tmp_path / "No Name.bkp")) == 2
    assert code("--target", "nano:add_question", "-o", out, "--resume") == 2
    assert "nothing to resume" in capsys.readouterr().err
    probes = tmp_path / "p.json"
    probes.write_text(
        json.dumps(
            [
                {"prompt": f"{i}+1=", "correct": "2", "wrong": "2", "split": split}
                for i, split in enumerate(("train", "validation", "heldout"))
            ]
        )
    )
    assert code("--target", str(probes), "-o", out) == 2
    assert "would falsify the result" in capsys.readouterr().err


def test_a_state_resumes_only_its_own_search(tmp_path: Path) -> None:
    model_id = Model(NANO, threads=1).id
    job = Job(NANO, ("nano:add_question",), "a")
    state = State(sites=frozenset([(2, 0, 4, 1, 7)]), j=0.1 + 0.2)
    kept = Checkpoint(tmp_path / "a.json")
    kept.save(job.fingerprint(model_id), state)
    same = Job(NANO, ("nano:add_question",), "a", minutes=1, threads=7)
    assert kept.load(same.fingerprint(model_id)) == state
    other = Job(NANO, ("nano:add_question",), "a", seed=2)
    with pytest.raises(Exception, match="other options"):
        kept.load(other.fingerprint(model_id))


def test_ctrl_c_leaves_a_state_that_resumes(
    oracle: None,
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The third accept is interrupted; the best so far is written; resuming ends the search."""
    from bankai_edge.search.climb import loop

    out = tmp_path / "sums.bkp"
    how = [*small, "-o", str(out), "--evaluations", "6", "--threads", "2"]
    accept, seen = loop.Search._accept, []

    def interrupted(self: loop.Search, *arguments: Any) -> None:
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        accept(self, *arguments)

    monkeypatch.setattr(loop.Search, "_accept", interrupted)
    assert code(*how) == 0
    assert "go on with --resume" in capsys.readouterr().err
    first = len(decode(out.read_bytes()).bits)
    assert out.with_name("sums.bkp.search.json").exists()
    assert code(*how, "--resume") == 0
    assert len(decode(out.read_bytes()).bits) > first
    assert not out.with_name("sums.bkp.search.json").exists()
