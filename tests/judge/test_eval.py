"""`bankai-edge eval`: what it counts, how sure it is, what it refuses."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from bankai_edge.cli.main import main
from bankai_edge.errors import UsageError
from bankai_edge.judge import impact, texts
from bankai_edge.judge.comparison import Judge
from bankai_edge.judge.statistics import clopper_pearson, mcnemar, net_interval, wilson
from bankai_edge.model import Model, Session
from bankai_edge.patch import decode, encode
from bankai_edge.probes import questions
from bankai_edge.shipped import ARITH, NANO

PROBES = [
    {"prompt": f"what is {a}+{b}?", "correct": str(a + b), "wrong": str(a + b + 1),
     "category": "even" if a % 2 == 0 else "odd", "name": f"{a}+{b}"}
    for a, b in ((12, 34), (50, 7), (23, 41), (61, 38), (77, 11), (8, 90))
]  # fmt: skip


@pytest.fixture(scope="module")
def model(nano_path: Path) -> Model:
    return Model(nano_path, threads=1)


@pytest.fixture
def probes(tmp_path: Path) -> Path:
    path = tmp_path / "probes.json"
    path.write_text(json.dumps({"probes": PROBES}))
    return path


def test_intervals_are_those_of_the_books() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert clopper_pearson(81, 263) == pytest.approx((0.2527, 0.3676), abs=1e-4)
    assert clopper_pearson(0, 20) == pytest.approx((0.0, 0.1684), abs=1e-4)
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(10, 0) == pytest.approx(2 / 1024)
    assert mcnemar(8, 2) == mcnemar(2, 8) == pytest.approx(2 * (1 + 10 + 45) / 1024)


@pytest.mark.parametrize("fixed, broken", [(6, 0), (5, 0), (9, 1), (8, 2), (1, 9), (0, 0), (40, 3)])
def test_an_interval_excludes_zero_where_the_test_rejects(fixed: int, broken: int) -> None:
    low, high = net_interval(fixed, broken, 100)
    assert low <= (fixed - broken) / 100 <= high
    assert (low > 0 or high < 0) == (mcnemar(fixed, broken) < 0.05)


def eval_json(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["eval", *map(str, words), "--json"])
    assert stop.value.code == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["version"], found["kind"]) == (1, "eval")
    return found


def test_a_probe_file_before_and_after(
    model: Model, probes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts, categories and choices agree with texts that the session generates."""
    page = tmp_path / "report.html"
    found = eval_json(capsys, "-m", NANO, "-p", ARITH, "--probes", probes,
                      "--all-splits", "--text", "nano:home_turn", "--html", page)  # fmt: skip
    session = Session(model, ctx=64)
    right = []
    for active in ([], [ARITH.read_bytes()]):
        session.use(active)
        given = ["".join(session.generate(str(p["prompt"]))) for p in PROBES]
        right.append([t.startswith(str(p["correct"])) for t, p in zip(given, PROBES, strict=True)])
    total = found["target"]["total"]
    assert [total["before"], total["after"]] == [sum(right[0]), sum(right[1])]
    assert total["fixed"] == sum(b and not a for a, b in zip(*right, strict=True)) > 0
    rows = {row["name"]: row for row in found["target"]["categories"]}
    assert rows["even"]["n"] + rows["odd"]["n"] == total["n"] == len(PROBES)
    assert total["choice"]["n"] == len(PROBES) and total["choice"]["after"] >= total["after"]
    assert found["text"]["tokens"] > 100 and 0 < found["text"]["kl"] < 1
    assert sum(s["flips"] for s in found["sections"]) == decode(ARITH.read_bytes()).n_flips
    text = page.read_text()
    pictures = [ElementTree.fromstring(svg) for svg in re.findall(r"(?s)<svg.*?</svg>", text)]
    assert len(pictures) == 3  # two heat maps, and a dot for each probe
    assert len(list(pictures[2].iter("{http://www.w3.org/2000/svg}circle"))) == len(PROBES)
    assert not re.search(r"(src|href)=|@import|url\(", text)  # nothing comes from elsewhere


def test_no_patch_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    found = eval_json(capsys, "--probes", "nano:add_question", "--limit", "20",
                      "--control", "nano:home_turn", "--text", "nano:home_turn")  # fmt: skip
    for side in (found["target"], found["control"]):
        assert side["total"]["fixed"] == side["total"]["broken"] == side["mean_shift"] == 0
    assert found["target"]["total"]["n"] == 20
    assert found["text"]["kl"] == 0 and found["text"]["same_choice"] == 1


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"wrong": "46"}, "is dead"),
        ({"correct": ""}, "lacks"),
        ({"wrong": [3]}, "wrong answers"),
        ({"split": "train"}, "no held-out"),
    ],
)
def test_probes_that_would_falsify_are_refused(
    model: Model, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps([{"split": "test", **PROBES[0], **change}]))
    with pytest.raises(UsageError, match=sentence):
        questions.load(str(path), model.tokenizer)


def test_an_answer_that_merges_into_the_prompt_is_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "merging.json"
    encode_text = model.tokenizer.encode
    word = next(w for w in ("kitchen", "bedroom", "light") if len(encode_text(w)) == 1)
    path.write_text(json.dumps([{"prompt": word[:3], "correct": word[3:], "split": "test"}]))
    with pytest.raises(UsageError, match="merges"):
        questions.load(str(path), model.tokenizer)


def test_perplexity_is_that_of_the_logits(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("turn on the kitchen lamp and 12 + 30 = 42. " * 3)
    documents = texts.from_file(path, model)
    found = texts.compare_text(model, documents, [ARITH.read_bytes()])
    tokens = documents[0]
    rows = Session(model, ctx=256).logits(tokens[:-1]).astype(np.float64)
    nll = [math.log(np.exp(r - r[t]).sum()) for r, t in zip(rows, tokens[1:], strict=True)]
    assert found.nll_before == pytest.approx(np.mean(nll), rel=1e-9)
    assert found.tokens == len(tokens) - 1


def test_random_flips(model: Model) -> None:
    """By seed, in the matrices asked for, as many as asked for; zero flips move nothing."""
    sizes = impact.matrix_sizes(model)
    assert sizes[0, 4] == (768, 256) and sizes[5, 6] == (256, 768) and len(sizes) == 42
    some = {place: sizes[place] for place in ((0, 4), (5, 6))}
    patch = impact.random_flips(some, 0.01, 3)
    assert patch == impact.random_flips(some, 0.01, 3) != impact.random_flips(some, 0.01, 4)
    assert patch.n_flips == 2 * round(0.01 * 768 * 256)
    assert {flip[:2] for flip in patch.bits} == set(some)
    assert impact.random_flips(some, 0.5, 3, "row").n_flips == 768 // 2 + 256 // 2
    with pytest.raises(UsageError, match="share"):
        impact.random_flips(some, 1.5, 3)
    judge = Judge(model, questions.load("nano:home_turn", model.tokenizer, 12))
    none, few, many = impact.robustness(judge, (0.001, 0.3), kind="row")
    assert none.flips == none.shift == 0 and none.right == 1.0
    assert few.right >= many.right < 0.7 and many.shift < -1
    cells = impact.layer_map(judge, share=0.1, kind="row")
    assert len(cells) == 42
    worst = min(cells, key=lambda c: c.shift)
    place = worst.layer, worst.projection
    one = encode(impact.random_flips({place: sizes[place]}, 0.1, 0, "row"))
    side, _ = judge.sides([one])
    assert worst.shift == pytest.approx(side.shift.mean()) and worst.shift < 0
