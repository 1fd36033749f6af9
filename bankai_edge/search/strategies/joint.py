"""Several targets by gradient, each counting the same."""

from __future__ import annotations

from dataclasses import replace

from bankai_edge.search.strategies.gradient import GRADIENT

JOINT = replace(GRADIENT, name="joint", least_targets=2)
