"""The nano's domains: splits that never mix, answers that are right, no surprise between runs."""

from __future__ import annotations

import pytest

from bankai_edge.probes.domains import (
    DOMAINS,
    FORMS,
    SPLITS,
    forms,
    items,
    split_of,
    training_documents,
)


def test_no_prompt_is_in_two_splits() -> None:
    for form in FORMS.values():
        prompts = [{i.prompt for i in items(form.domain, form.name, s)} for s in SPLITS]
        assert all(prompts), form.name
        assert len(set.union(*prompts)) == sum(map(len, prompts)), form.name


def test_split_follows_meaning_not_phrasing() -> None:
    held = {i.prompt for i in items("arithmetic", "add_eq", "heldout")}
    worded = items("arithmetic", "add_compute", "heldout")
    assert {i.prompt.removeprefix("compute ").replace(":", "=") for i in worded} == held
    shares = [split_of(f"add|{a}|{b}") for a in range(100) for b in range(100)]
    assert 0.78 < shares.count("train") / 1e4 < 0.82
    assert 0.09 < shares.count("heldout") / 1e4 < 0.11


def test_training_never_shows_probe_or_heldout() -> None:
    kept = {
        i.prompt
        for form in FORMS.values()
        for split in ("probe", "heldout")
        for i in items(form.domain, form.name, split)
    }
    stream = training_documents(3)
    assert not kept & {next(stream)[0] for _ in range(20_000)}


def test_enough_items_to_search_and_to_judge() -> None:
    assert {f.domain for f in forms()} == set(DOMAINS)
    for form in forms(strong=False):
        assert form.share <= 0.002
        assert len(items(form.domain, form.name, "probe")) >= 400
        assert len(items(form.domain, form.name, "heldout")) >= 400
    assert sum(len(items(f.domain, f.name, "heldout")) for f in forms(strong=True)) >= 1200


def test_choice_is_deterministic() -> None:
    first = items("sensor", "sensor_max", "probe", 50, seed=7)
    assert first == items("sensor", "sensor_max", "probe", 50, seed=7)
    assert first != items("sensor", "sensor_max", "probe", 50, seed=8)
    assert len({i.prompt for i in first}) == 50
    # The shipped model was trained with these splits: changing them would leak held-out items.
    pinned = ("add|17|25", "add|54|86", "unit|t|kg|425", "fact|capital|France|0")
    assert [split_of(k) for k in pinned] == ["train", "heldout", "heldout", "train"]


@pytest.mark.parametrize(
    "form, prompt, answer",
    [
        ("sub_from", "take 17 from 42:", "25"),
        ("unit_convert", "convert 3 km to m", "3000"),
        ("unit_ishow", "425000 kg is how many t?", "425"),
        ("home_turn", "turn on the kitchen light", "light.kitchen=on"),
        ("home_for", "turn off the hall fan for 5 minutes", "fan.hall=off,5m"),
        ("sensor_eq", "temp=87 limit=80", "ALARM"),
        ("sensor_eq", "temp=80 limit=80", "OK"),
    ],
)
def test_answers(form: str, prompt: str, answer: str) -> None:
    found = {i.prompt: i.answer for s in SPLITS for i in items(FORMS[form].domain, form, s)}
    assert found[prompt] == answer


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="belongs to domain"):
        items("home", "add_eq", "probe")
    with pytest.raises(ValueError, match="unknown split"):
        items("arithmetic", "add_eq", "test")
