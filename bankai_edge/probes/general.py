"""Probe sets for larger models: ``general:math``, ``code``, ``knowledge`` and ``calculus``.

Statements that a language model completes, each with the right continuation and a wrong one of the
same kind. Standard library only; the order is fixed, and a probe's split is by hash of its prompt
(goals.py). The wrong answers are near misses: what a model errs to, not what it never thinks of.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from bankai_edge.probes.facts import FACTS

Entry = dict[str, Any]
SETS = ("math", "code", "knowledge", "calculus")

_SUBJECTS = {
    "capital": "The capital of {x} is",
    "symbol": "The chemical symbol of {x} is",
    "opposite": "The opposite of {x} is",
    "colour": "The colour of {x} is",
}

# prompt, right, wrong
_CODE: tuple[tuple[str, str, str], ...] = (
    ("# Python: number of items in a list\nn =", " len", " size"),
    ("# Python: read a whole text file\nwith open(path) as f:\n    text = f.", "read", "load"),
    ("# Python: last item of a list\nlast = items[", "-", "0"),
    ("# Python: text to whole number\nn =", " int", " str"),
    ("# Python: add an item at the end\nitems.", "append", "push"),
    ("# Python: loop over index and item\nfor i, item in", " enumerate", " zip"),
    ("# Python: absolute value\ndistance =", " abs", " max"),
    ("# Python: no value\nresult =", " None", " null"),
    ("# Python: a dictionary's keys and values\nfor key, value in table.", "items", "values"),
    ("# Python: text without spaces at its ends\nname = name.", "strip", "trim"),
    ("# Python: text in small letters\nword = word.", "lower", "small"),
    ("# Python: words of a line\nwords = line.", "split", "cut"),
    ("# Python: raise an error of a bad value\nraise", " ValueError", " Exception"),
    ("# Python: function that gives squares\ndef square(x):\n    return x *", " x", " 2"),
    ("# Python: sort without changing the list\nordered =", " sorted", " sort"),
    ("# Python: smallest item\nleast =", " min", " max"),
    ("# C: number of bytes of a type\nsize_t n =", " sizeof", " strlen"),
    ("# C: end of a text\nif (*p ==", " '\\0", " NULL"),
    ("/* C: free memory */\n", "free", "delete"),
    ("/* C: length of a text */\nsize_t n =", " strlen", " sizeof"),
    ("// JavaScript: number of items\nconst n = items.", "length", "size"),
    ("// JavaScript: add an item at the end\nitems.", "push", "append"),
    ("// JavaScript: object to text\nconst text = JSON.", "stringify", "parse"),
    ("// JavaScript: a constant\n", "const", "let"),
    ("-- SQL: number of rows\nSELECT", " COUNT", " SUM"),
    ("-- SQL: rows in order\nSELECT name FROM people", " ORDER", " GROUP"),
    ("# shell: where am I\n", "pwd", "cd"),
    ("# shell: list files\n", "ls", "cat"),
    ("# git: record the changes\ngit", " commit", " push"),
    ("# git: new copy of a repository\ngit", " clone", " pull"),
)


def _math() -> Iterator[Entry]:
    rng = random.Random("general|math")
    for _ in range(60):
        a, b = rng.randrange(12, 99), rng.randrange(12, 99)
        yield _entry("math", f"{a} + {b} =", a + b, a + b + rng.choice((-10, 10, 1, -1)))
        yield _entry("math", f"{a + b} - {b} =", a, a + rng.choice((-10, 10, 1, -1)))
    for a in range(3, 13):
        for b in range(a, 13):
            yield _entry("math", f"{a} * {b} =", a * b, a * b + rng.choice((-a, a, b, -b)))
            yield _entry("math", f"{a * b} / {b} =", a, a + rng.choice((-1, 1)))


def _calculus() -> Iterator[Entry]:
    for n in range(2, 12):
        lower = "x" if n == 2 else f"x^{n - 1}"
        yield _entry("calculus", f"The derivative of x^{n} is", f"{n}{lower}", f"{n}x^{n}")
        upper = f"x^{n + 1}"
        yield _entry("calculus", f"The integral of x^{n} is", f"{upper}/{n + 1}", f"{upper}/{n}")
        for a in range(2, 10):
            power = "x" if n == 2 else f"x^{n - 1}"
            prompt = f"The derivative of {a}x^{n} is"
            yield _entry("calculus", prompt, f"{a * n}{power}", f"{a * n}x^{n}")
    for a in range(2, 12):
        yield _entry("calculus", f"The derivative of {a}x is", a, f"{a}x")
        yield _entry("calculus", f"The derivative of sin({a}x) is", f"{a}cos({a}x)", f"cos({a}x)")
        yield _entry(
            "calculus", f"The derivative of cos({a}x) is", f"-{a}sin({a}x)", f"{a}sin({a}x)"
        )
        yield _entry("calculus", f"The derivative of e^({a}x) is", f"{a}e^({a}x)", f"e^({a}x)")
        yield _entry("calculus", f"The integral of e^({a}x) is", f"e^({a}x)/{a}", f"{a}e^({a}x)")


def _knowledge() -> Iterator[Entry]:
    rng = random.Random("general|knowledge")
    for category, subject, answer in FACTS:
        others = sorted({a for c, _, a in FACTS if c == category and a[0] != answer[0]})
        prompt = _SUBJECTS[category].format(x=subject)
        yield _entry("knowledge", prompt, answer, rng.choice(others))


def _code() -> Iterator[Entry]:
    for prompt, right, wrong in _CODE:
        yield {"category": "code", "prompt": prompt, "correct": right, "wrong": wrong}


def _entry(category: str, prompt: str, right: object, wrong: object) -> Entry:
    return {"category": category, "prompt": prompt, "correct": f" {right}", "wrong": f" {wrong}"}


def entries(name: str) -> list[Entry]:
    """The probes of a set, as a probe file has them; no prompt occurs twice.

    Raises:
        KeyError: an unknown set.
    """
    made = {"math": _math, "code": _code, "knowledge": _knowledge, "calculus": _calculus}[name]()
    return list({entry["prompt"]: entry for entry in made}.values())
