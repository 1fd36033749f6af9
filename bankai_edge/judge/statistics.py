"""Intervals and tests for counts of right and wrong answers; exact where counts are small."""

from __future__ import annotations

import math
from collections.abc import Callable

Z95 = 1.959963984540054
Interval = tuple[float, float]


def wilson(right: int, n: int, z: float = Z95) -> Interval:
    """Wilson's interval of a proportion; (0, 1) when there is nothing to go by."""
    if n == 0:
        return 0.0, 1.0
    p, spread = right / n, z * z / n
    middle = (p + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(p * (1 - p) / n + spread / (4 * n))
    low = 0.0 if right == 0 else max(0.0, middle - half)
    return low, 1.0 if right == n else min(1.0, middle + half)


def mcnemar(fixed: int, broken: int) -> float:
    """Exact two-sided p-value that fixing and breaking are equally likely (McNemar)."""
    n, least = fixed + broken, min(fixed, broken)
    return min(1.0, 2 * _at_most(least, n, 0.5)) if n else 1.0


def sign_test(fixed: int, broken: int) -> float:
    """Exact one-sided p-value of McNemar's test: so few broken ones if both were equally likely."""
    return _at_most(broken, fixed + broken, 0.5) if fixed + broken else 1.0


def net_interval(fixed: int, broken: int, n: int, level: float = 0.95) -> Interval:
    """Interval of the net share fixed of n items, given how many changed at all.

    Clopper and Pearson's exact interval of the share of fixes among the changed items: it excludes
    0 exactly where `mcnemar` is below 1 - `level`.
    """
    changed = fixed + broken
    if n == 0 or changed == 0:
        return 0.0, 0.0
    low, high = clopper_pearson(fixed, changed, level)
    return (2 * low - 1) * changed / n, (2 * high - 1) * changed / n


def clopper_pearson(right: int, n: int, level: float = 0.95) -> Interval:
    """The exact interval of a proportion."""
    tail = (1 - level) / 2
    low = 0.0 if right == 0 else _root(lambda p: 1 - _at_most(right - 1, n, p) - tail)
    high = 1.0 if right == n else _root(lambda p: tail - _at_most(right, n, p))
    return low, high


def _at_most(k: int, n: int, p: float) -> float:
    """P(X <= k) of a binomial variable."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    log_p, log_q, log_n = math.log(p), math.log1p(-p), math.lgamma(n + 1)
    terms = (
        math.exp(log_n - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_p + (n - i) * log_q)
        for i in range(k + 1)
    )
    return min(1.0, math.fsum(terms))


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function on (0, 1) is zero."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2
