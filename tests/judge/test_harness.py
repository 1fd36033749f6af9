"""lm-evaluation-harness on this engine, with a small local task; needs the extra ``harness``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval")

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from bankai_edge.judge.harness import BankaiEdge
from bankai_edge.model import Model
from bankai_edge.probes.questions import load
from bankai_edge.shipped import ARITH, NANO

TASK = """
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: {kind}
doc_to_text: "{{{{prompt}}}}"
doc_to_target: {target}
target_delimiter: ""
{more}
metadata: {{version: 1}}
"""
CHOICE = 'doc_to_choice: "{{choices}}"\nmetric_list: [{metric: acc}]'
EXACT = "generation_kwargs: {until: ['\\n'], max_gen_toks: 6}\nmetric_list: [{metric: exact_match}]"


def score(folder: Path, kind: str, patches: str) -> float:
    """The task's only metric."""
    folder.mkdir()
    choice = kind == "multiple_choice"
    model = Model(NANO, threads=1)
    rows: list[dict[str, Any]] = []
    for q in load("nano:add_question", model.tokenizer, 30):
        right = q.probe.item.answer
        wrong = [str(int(right) + 1), str(int(right) + 10)]
        rows.append({"prompt": q.probe.item.prompt, "answer": right,
                     "choices": [right, *wrong], "label": 0})  # fmt: skip
    data = folder / "sums.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    text = TASK.format(
        data=data, kind=kind, target="label" if choice else "answer",
        more=CHOICE if choice else EXACT,
    )  # fmt: skip
    (folder / "sums.yaml").write_text(text)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    lm = BankaiEdge(str(NANO), patches=patches, ctx=128)
    found = simple_evaluate(lm, tasks=["sums"], task_manager=manager, bootstrap_iters=0)
    return float(found["results"]["sums"]["acc,none" if choice else "exact_match,none"])


@pytest.mark.parametrize("kind", ["multiple_choice", "generate_until"])
def test_a_local_task(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The patch helps there too, and generation agrees with the judge."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    base = score(tmp_path / "base", kind, "")
    patched = score(tmp_path / "patched", kind, str(ARITH))
    assert base < patched > 0.9
