"""What an agent allows, as its operator chooses it: defaults for the command line and the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Whether a patch has to be signed by a trusted key: no; no, but say so; yes.
Policy = Literal["open", "warn", "require"]

MAX_PATCH_BYTES = 1 << 20
MAX_NEW_TOKENS = 4096
PROBE_BUDGET_S = 1.5  # for the patches' own probes at a switch: a client waits 2 s for the answer


@dataclass(frozen=True)
class Quota:
    """How much a store takes. `spare_bytes` of the disk stay free for the journal and others.

    What only the previous set still needs does not count.
    """

    patches: int = 64
    total_bytes: int = 16 << 20
    spare_bytes: int = 16 << 10
