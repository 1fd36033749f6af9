"""docs/experiments.md: its tables are its results, and its results are of the shipped model."""

from __future__ import annotations

import json

import experiments
import pytest

from bankai_edge.model import Model
from bankai_edge.shipped import NANO

RESULTS = sorted(experiments.RESULTS.glob("*.json"))


def test_the_tables_are_those_of_the_results() -> None:
    page = experiments.PAGE.read_text(encoding="utf-8")
    assert experiments.with_tables(page) == page
    assert experiments.with_tables(page.replace("| strong forms |", "| weak |", 1)) == page


@pytest.mark.parametrize("path", RESULTS, ids=[path.stem for path in RESULTS])
def test_a_result_is_of_the_shipped_model(path: experiments.Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["model"] == Model(NANO, threads=1).id.hex()
    assert document["experiment"] == path.stem in experiments.EXPERIMENTS


def test_the_stacking_result_is_what_the_engine_gives() -> None:
    """The experiment with the most decided numbers, for one patch and its own form."""
    found = json.loads((experiments.RESULTS / "stacking.json").read_text())["found"]
    form, data = experiments.shipped()["arith"]
    source = f"nano:{form}"
    model = Model(NANO, threads=1)
    report = experiments.stack_report(model, [data], [source])
    row = next(r for r in found["report"]["rows"] if r["active"] == "arith")
    assert report.as_json()["rows"][0]["changes"][source] == row["changes"][source]
