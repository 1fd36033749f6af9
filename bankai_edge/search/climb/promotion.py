"""The promotion gate: what a validation pack must have shown before a patch is written.

A patch that fixes about as many answers as it breaks is noise, however many it fixes; one that pays
for its target with something else is no patch. What a pack is too small to show is not believed.
"""

from __future__ import annotations

import math

from bankai_edge.judge.evaluate import Change, Verdict
from bankai_edge.judge.statistics import sign_test

CHANCE = 0.01  # of as good a net gain from flips that do nothing (McNemar, exact, one-sided)
TARGET_MAY_BREAK = 0.01  # of the target's answers that were right, rounded up
CONTROLS_MAY_BREAK = 0.003  # of the controls that were right
MISSING = 0.2  # share right below which a skill is missing: it has few right answers to lose
FIXED_FOR_EACH_BROKEN = 20  # there


def refusals(verdict: Verdict) -> list[str]:
    """Why this patch may not ship; empty when it may."""
    return [*_of_target(verdict.target), *_of_controls(verdict.control)]


def significant(target: Change) -> bool:
    """Is the net gain more than chance?"""
    return sign_test(target.fixed, target.broken) < CHANCE


def _of_target(t: Change) -> list[str]:
    found = []
    if not significant(t):
        p = sign_test(t.fixed, t.broken)
        found.append(f"+{t.fixed} −{t.broken} of {t.n} targets may be chance (p = {p:.2g})")
    most = math.ceil(TARGET_MAY_BREAK * t.before)
    if t.before < MISSING * t.n:
        most = max(most, t.fixed // FIXED_FOR_EACH_BROKEN)
    if t.broken > most:
        found.append(f"{t.broken} of {t.before} right targets broken, at most {most} may be")
    return found


def _of_controls(c: Change) -> list[str]:
    found = []
    if c.broken > c.fixed:
        found.append(f"controls lose: +{c.fixed} −{c.broken} of {c.n}")
    if c.broken > CONTROLS_MAY_BREAK * c.before:
        found.append(f"{c.broken} of {c.before} right controls broken, "
                     f"at most {CONTROLS_MAY_BREAK:.1%} may be")  # fmt: skip
    return found
