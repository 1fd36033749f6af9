"""Probe files: read as Bankai writes them, split once, audited before any search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bankai_edge.errors import BankaiError, UsageError
from bankai_edge.judge import audit
from bankai_edge.judge.evaluate import Evaluator
from bankai_edge.model import Model
from bankai_edge.probes import general
from bankai_edge.probes.domains import split_by_hash
from bankai_edge.probes.goals import Goals, load
from bankai_edge.probes.packs import Sizes

SMALL = Sizes(8, 23), Sizes(6, 23), Sizes(6, 23)


@pytest.fixture(scope="module")
def model(nano_path: Path) -> Model:
    return Model(nano_path, threads=1)


def written(path: Path, probes: list[dict[str, Any]]) -> str:
    path.write_text(json.dumps({"probes": probes}))
    return str(path)


def sums(n: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"prompt": f"{a}+11=", "correct": str(a + 11), "wrong": str(a + 30), **more}
        for a in range(n)
    ]


def plan(model: Model, path: Path, probes: list[dict[str, Any]]) -> Goals:
    return load((written(path, probes),), (), model.tokenizer, 1)


def kinds(model: Model, goals: Goals, metric: Any = "seq_logprob") -> dict[str, bool]:
    return {f.kind: f.fatal for f in audit.examine(goals, model.tokenizer, metric)}


def test_a_file_is_split_by_mark_or_by_hash(model: Model, tmp_path: Path) -> None:
    goals = plan(model, tmp_path / "p.json", sums(60))
    parts = [pack.target for pack in (goals.search, goals.validation, goals.heldout)]
    assert sum(map(len, parts)) == 60 and all(len(part) >= 5 for part in parts)
    assert goals == plan(model, tmp_path / "p.json", sums(60))
    marked = sums(3)
    for probe, split in zip(marked, ("train", "validation", "test"), strict=True):
        probe["split"] = split
    goals = plan(model, tmp_path / "m.json", marked)
    assert [len(p.target) for p in (goals.search, goals.validation, goals.heldout)] == [1, 1, 1]
    assert goals.heldout.target[0].item.prompt == "2+11="
    assert not kinds(model, goals)


def test_an_open_answer_may_go_on_and_alternates_count(model: Model, tmp_path: Path) -> None:
    """The nano answers 17+25= with 42 and ends there."""
    probes = [
        {"prompt": "17+25=", "correct": "4", "split": "train"},
        {"prompt": "17+25=", "correct": "4", "end": True, "split": "train"},
        {"prompt": "17+25=", "correct": "42", "end": True, "split": "validation"},
        {"prompt": "17+25=", "correct": "forty-two", "alternates": ["42"], "split": "heldout"},
    ]
    goals = plan(model, tmp_path / "p.json", probes)
    asked = (*goals.search.target, *goals.validation.target, *goals.heldout.target)
    assert Evaluator(model).exact(asked).tolist() == [True, False, True, True]


def test_the_audit_refuses_what_falsifies(model: Model, tmp_path: Path) -> None:
    good = sums(30)
    dead = [{"prompt": "1+1=", "correct": "2", "wrong": "2"}]
    assert kinds(model, plan(model, tmp_path / "a.json", good + dead)) == {"dead": True}
    gap = [{"prompt": "1+1=", "correct": "21", "wrong": "25"}]
    goals = plan(model, tmp_path / "b.json", good + gap)
    assert not kinds(model, goals)
    assert kinds(model, goals, "token_gap")["dead"]
    twice = [{"prompt": "x=", "correct": "1", "split": s} for s in ("train", "test")]
    assert kinds(model, plan(model, tmp_path / "c.json", good + twice)) == {"duplicate": True}
    merging = [{"prompt": "turn off the hall radio", "correct": "radio.hall=off"}]
    goals = plan(model, tmp_path / "d.json", good + merging)
    findings = audit.examine(goals, model.tokenizer, "seq_logprob")
    assert [f.kind for f in findings] == ["merge"] and findings[0].fatal
    cleaned = audit.without(goals, findings)
    assert not audit.examine(cleaned, model.tokenizer, "seq_logprob")
    count = lambda g: sum(len(p.target) for p in (g.search, g.validation, g.heldout))  # noqa: E731
    assert count(cleaned) == count(goals) - 1


def test_distractors_that_nobody_thinks_of_are_reported(model: Model, tmp_path: Path) -> None:
    probes = [*sums(30), {"prompt": "3+4=", "correct": "7", "wrong": "lamp", "split": "train"}]
    goals = plan(model, tmp_path / "p.json", probes)
    before = Evaluator(model).scores(goals.search.target)
    found = audit.unthinkable(goals.search.target, before)
    assert "3+4=" in {f.prompt for f in found} and not any(f.fatal for f in found)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no probes"),
        ('[{"prompt": "a"}]', "lacks a prompt or a correct answer"),
        ('[{"prompt": "a", "correct": "b", "split": "gold"}]', "in split 'gold'"),
    ],
)
def test_bad_files_are_refused(model: Model, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        load((str(path),), (), model.tokenizer, 1)
    with pytest.raises(BankaiError, match="cannot be read"):
        load((str(tmp_path / "none.json"),), (), model.tokenizer, 1)


@pytest.mark.parametrize("name", general.SETS)
def test_general_sets_have_probes_in_every_split(name: str) -> None:
    entries = general.entries(name)
    assert len(entries) >= 30 and len({e["prompt"] for e in entries}) == len(entries)
    assert all(e["correct"] != e["wrong"] for e in entries)
    splits = [split_by_hash(e["prompt"]) for e in entries]
    assert min(splits.count(s) for s in ("train", "validation", "heldout")) >= 4


def test_general_arithmetic_is_right() -> None:
    for entry in general.entries("math"):
        left, sign, right, _ = entry["prompt"].split()
        a, b = int(left), int(right)
        want = {"+": a + b, "-": a - b, "*": a * b, "/": a // b}[sign]
        assert int(entry["correct"]) == want != int(entry["wrong"])


def test_nano_goals_never_mix(model: Model) -> None:
    names = ("nano:add_question", "nano:unit_are")
    goals = load(names, ("nano:add_eq", "nano:strong"), model.tokenizer, 1, SMALL)
    assert goals.search.parts == (4, 4) and goals.names == ("add_question", "unit_are")
    asked = [
        {p.item.prompt for p in (*k.target, *k.control)}
        for k in (goals.search, goals.validation, goals.heldout)
    ]
    assert len(set.union(*asked)) == sum(map(len, asked))
    with pytest.raises(UsageError, match="is no target"):
        load(("nano:strong",), (), model.tokenizer, 1)
