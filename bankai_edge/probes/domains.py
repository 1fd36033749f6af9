"""The nano model's domains: what it was trained on, and what it is judged on.

Standard library only, so that a device without NumPy can make probes. Everything is deterministic:
an item's *key* names its meaning ("add|17|25"), not its phrasing, and SHA-256 of the key puts it in
exactly one of ``train`` / ``probe`` / ``heldout``. A sum that is held out is therefore held out in
every phrasing. Facts have one meaning and many phrasings, so there the key names fact and phrasing.

A *form* is one phrasing or output format. ``strong`` forms are trained; ``weak`` forms ask for a
skill the model has in words that training showed rarely (``share`` > 0, at most 0.2 % of documents)
or never (``share`` = 0). Patches are searched on a weak form's probe items and judged on its
held-out items.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from bankai_edge.probes.facts import FACT_PHRASINGS, FACTS

SPLITS = ("train", "probe", "heldout")
DOMAINS = ("arithmetic", "units", "home", "sensor", "facts")

ROOMS = (
    "kitchen", "bedroom", "bathroom", "hall", "garage", "office", "attic", "cellar",
    "garden", "nursery", "studio", "porch", "library", "lounge", "pantry", "laundry",
)  # fmt: skip
DIMMABLE = ("light", "lamp", "fan", "heater", "radio")
DEVICES = (*DIMMABLE, "pump", "tv", "camera", "plug", "valve", "boiler", "siren")
SENSORS = ("temp", "hum", "gas", "smoke", "level", "load", "noise", "press")
# (big unit, small unit, zeros): 1 big = 10**zeros small.
UNIT_PAIRS = (
    ("km", "m", 3), ("m", "cm", 2), ("cm", "mm", 1), ("m", "mm", 3), ("kg", "g", 3), ("t", "kg", 3),
    ("l", "ml", 3), ("kW", "W", 3), ("V", "mV", 3), ("A", "mA", 3), ("s", "ms", 3),
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One question with its only right answer (greedy exact match, to the byte)."""

    domain: str
    form: str
    prompt: str
    answer: str
    split: str


@dataclass(frozen=True)
class Form:
    """One phrasing. `share` is its weight among training documents (0: never trained)."""

    name: str
    domain: str
    family: str
    template: str
    share: float
    strong: bool


# One row per form: name, family, share of training documents, template. A family enumerates
# meanings (keys, fields, answer); several forms phrase one family.
_STRONG: tuple[tuple[str, str, float, str], ...] = (
    ("add_eq", "add", 0.070, "{a}+{b}="),
    ("add_spaced", "add", 0.045, "{a} + {b} ="),
    ("add_what", "add", 0.050, "what is {a} plus {b}?"),
    ("add_add", "add", 0.035, "add {a} and {b}:"),
    ("sub_eq", "sub", 0.105, "{a}-{b}="),
    ("sub_spaced", "sub", 0.060, "{a} - {b} ="),
    ("sub_what", "sub", 0.075, "what is {a} minus {b}?"),
    ("mul_eq", "mul", 0.025, "{a}*{b}="),
    ("mul_spaced", "mul", 0.020, "{a} * {b} ="),
    ("mul_what", "mul", 0.020, "what is {a} times {b}?"),
    ("unit_convert", "unit", 0.050, "convert {n} {u} to {v}"),
    ("unit_in", "unit", 0.035, "{n} {u} in {v} ="),
    ("unit_howmany", "unit", 0.040, "how many {v} in {n} {u}?"),
    ("home_turn", "onoff", 0.025, "turn {x} the {room} {dev}"),
    ("home_switch", "onoff", 0.020, "switch {x} the {room} {dev}"),
    ("home_please", "onoff", 0.015, "please turn the {room} {dev} {x}"),
    ("home_short", "onoff", 0.015, "{room} {dev} {x}"),
    ("home_set", "set", 0.030, "set the {room} {dev} to {n}"),
    ("home_timer", "timer", 0.030, "for {n} minutes turn {x} the {room} {dev}"),
    ("sensor_eq", "sensor", 0.055, "{s}={n} limit={l}"),
    ("sensor_words", "sensor", 0.035, "{s} is {n}, limit {l}:"),
    ("sensor_over", "sensor", 0.030, "is {s} {n} over {l}?"),
    ("fact", "fact", 0.115, ""),
)

# Rarely (0.1 % of documents) or never trained. Chosen by measurement on probe items among many
# candidates, most as near misses of a skill the model has; the model card lists the accuracy of
# every one. The rare rows belong to the shipped model's training mix: removing one changes it.
_WEAK: tuple[tuple[str, str, float, str], ...] = (
    ("add_compute", "add", 0.001, "compute {a}+{b}:"),
    ("sub_from", "sub", 0.001, "take {b} from {a}:"),
    ("unit_ishow", "unit", 0.001, "{n} {u} is how many {v}?"),
    ("home_for", "timer", 0.001, "turn {x} the {room} {dev} for {n} minutes"),
    ("sensor_max", "sensor", 0.001, "{s}={n} max={l}"),
    ("add_howmuch", "add", 0.0, "how much is {a}+{b}?"),
    ("add_question", "add", 0.0, "what is {a}+{b}?"),
    ("add_is", "add", 0.0, "{a}+{b} is"),
    ("add_plus_is", "add", 0.0, "{a} plus {b} is"),
    ("sub_question", "sub", 0.0, "what is {a}-{b}?"),
    ("unit_to", "unit", 0.0, "{n} {u} to {v}"),
    ("unit_as", "unit", 0.0, "{n} {u} as {v} ="),
    ("unit_are", "unit", 0.0, "how many {v} are {n} {u}?"),
    ("unit_give", "unit", 0.0, "{v} for {n} {u}:"),
    ("unit_into", "unit", 0.0, "change {n} {u} into {v}"),
    ("home_at", "set", 0.0, "set the {room} {dev} at {n}"),
    ("home_in", "set", 0.0, "set {dev} in the {room} to {n}"),
    ("home_bare", "set", 0.0, "set {room} {dev} {n}"),
    ("home_level", "set", 0.0, "turn the {room} {dev} to {n}"),
    ("sensor_colon", "sensor", 0.0, "{s}: {n}, limit: {l}"),
    ("sensor_is_max", "sensor", 0.0, "{s} is {n}, max {l}:"),
    ("sensor_with", "sensor", 0.0, "{s} {n} with limit {l}:"),
    ("sensor_above", "sensor", 0.0, "is {s} {n} above {l}?"),
)

_FAMILY_DOMAIN = {
    "add": "arithmetic", "sub": "arithmetic", "mul": "arithmetic", "unit": "units", "onoff": "home",
    "set": "home", "timer": "home", "sensor": "sensor", "fact": "facts",
}  # fmt: skip

FORMS: dict[str, Form] = {
    name: Form(name, _FAMILY_DOMAIN[family], family, template, share, strong)
    for rows, strong in ((_STRONG, True), (_WEAK, False))
    for name, family, share, template in rows
}


def forms(domain: str | None = None, strong: bool | None = None) -> list[Form]:
    """The forms of a domain (all when None), only strong or only weak ones when asked."""
    return [
        f
        for f in FORMS.values()
        if domain in (None, f.domain) and (strong is None or f.strong == strong)
    ]


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def split_of(key: str) -> str:
    """``train``, ``probe`` or ``heldout`` for an item key: by SHA-256, about 80/10/10.

    A fact's eight phrasings are ranked by hash instead, one to ``heldout``, one to ``probe``, six
    to ``train``: each fact is then both taught and examined.
    """
    if key.startswith("fact|"):
        fact, _, phrasing = key.rpartition("|")
        ranked = sorted(range(8), key=lambda i: _digest(f"{fact}|{i}"))
        rank = ranked.index(int(phrasing))
        return "heldout" if rank == 0 else "probe" if rank == 1 else "train"
    bucket = _digest(key) % 10
    return "heldout" if bucket == 0 else "probe" if bucket == 1 else "train"


def split_by_hash(text: str) -> str:
    """``train``, ``validation`` or ``heldout`` for a user's own probe: about 60/20/20."""
    bucket = _digest(text) % 10
    return "train" if bucket < 6 else "validation" if bucket < 8 else "heldout"


def _meanings(family: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """Every meaning of a family: (key, template fields, answer)."""
    if family == "add":
        for a in range(100):
            for b in range(100):
                yield f"add|{a}|{b}", {"a": str(a), "b": str(b)}, str(a + b)
    elif family == "sub":
        for a in range(100):
            for b in range(a + 1):
                yield f"sub|{a}|{b}", {"a": str(a), "b": str(b)}, str(a - b)
    elif family == "mul":
        for a in range(13):
            for b in range(13):
                yield f"mul|{a}|{b}", {"a": str(a), "b": str(b)}, str(a * b)
    elif family == "unit":
        for big, small, zeros in UNIT_PAIRS:
            for n in range(1, 1000):
                long = str(n * 10**zeros)
                yield f"unit|{big}|{small}|{n}", {"n": str(n), "u": big, "v": small}, long
                yield f"unit|{small}|{big}|{n}", {"n": long, "u": small, "v": big}, str(n)
    elif family == "sensor":
        for s in SENSORS:
            for n in range(100):
                for limit in range(100):
                    fields = {"s": s, "n": str(n), "l": str(limit)}
                    yield f"sensor|{s}|{n}|{limit}", fields, "ALARM" if n > limit else "OK"
    elif family == "fact":
        for category, subject, answer in FACTS:
            for i, template in enumerate(FACT_PHRASINGS[category]):
                yield f"fact|{category}|{subject}|{i}", {"q": template.format(x=subject)}, answer
    else:
        yield from _home_meanings(family)


def _home_meanings(family: str) -> Iterator[tuple[str, dict[str, str], str]]:
    for room in ROOMS:
        for dev in DIMMABLE if family == "set" else DEVICES:
            fields = {"room": room, "dev": dev}
            if family == "set":
                for n in range(100):
                    answer = f"{dev}.{room}={n}"
                    yield f"home|{room}|{dev}|set|{n}", {**fields, "n": str(n)}, answer
                continue
            for x in ("on", "off"):
                answer = f"{dev}.{room}={x}"
                if family == "onoff":
                    yield f"home|{room}|{dev}|{x}", {**fields, "x": x}, answer
                else:
                    for n in range(2, 100):
                        timed = {**fields, "x": x, "n": str(n)}
                        yield f"home|{room}|{dev}|{x}|{n}", timed, f"{answer},{n}m"


@cache
def _family(family: str) -> dict[str, list[tuple[dict[str, str], str]]]:
    table: dict[str, list[tuple[dict[str, str], str]]] = {split: [] for split in SPLITS}
    for key, fields, answer in _meanings(family):
        table[split_of(key)].append((fields, answer))
    return table


def phrase(form: Form, fields: dict[str, str]) -> str:
    """The prompt of one meaning in one form."""
    return fields["q"] if form.family == "fact" else form.template.format(**fields)


def items(domain: str, form: str, split: str, n: int | None = None, seed: int = 0) -> list[Item]:
    """All items of a form in a split, in a fixed order, or `n` of them chosen by `seed`.

    Fewer than `n` come back when the split has fewer. The choice depends on form, split and seed
    only.
    """
    spec = FORMS[form]
    if spec.domain != domain:
        raise ValueError(f"form {form!r} belongs to domain {spec.domain!r}, not {domain!r}")
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: one of {', '.join(SPLITS)}")
    chosen = _family(spec.family)[split]
    if n is not None and n < len(chosen):
        chosen = random.Random(f"{form}|{split}|{seed}").sample(chosen, n)
    return [Item(domain, form, phrase(spec, f), answer, split) for f, answer in chosen]


def training_documents(seed: int) -> Iterator[tuple[str, str]]:
    """An endless stream of (prompt, answer) from the train split, mixed by the forms' shares."""
    rng = random.Random(seed)
    mix = [f for f in FORMS.values() if f.share > 0]
    weights = [f.share for f in mix]
    while True:
        for form in rng.choices(mix, weights, k=256):
            fields, answer = rng.choice(_family(form.family)["train"])
            yield phrase(form, fields), answer
