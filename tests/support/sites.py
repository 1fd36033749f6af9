"""The flips of a patch as a search has them."""

from __future__ import annotations

from bankai_edge.patch.bkp import Patch
from bankai_edge.search.climb.sites import BIT, GROUP, ROW, Sites


def of_patch(patch: Patch) -> Sites:
    """The flips of a patch as sites."""
    rows = [(ROW, f[0], f[1], f[2], 0) for f in patch.rows]
    groups = [(GROUP, f[0], f[1], f[2], f[3]) for f in patch.groups]
    return frozenset([*rows, *groups, *((BIT, f[0], f[1], f[2], f[3]) for f in patch.bits)])
