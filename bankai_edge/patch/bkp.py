"""The `.bkp` file: a frozen `Patch`, and its one encoding as deterministic CBOR (bkp.cddl)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cbor2

from bankai_edge import _patch
from bankai_edge._facts import NAME_RULE, error_text, name_ok
from bankai_edge.errors import BankaiError, CoreError
from bankai_edge.patch import flips
from bankai_edge.patch.flips import Flip
from bankai_edge.patch.refusals import patch_error

FORMAT_VERSION = 1
SUFFIX = ".bkp"
FIRST_EXTENSION = 64
_VERSION, _NAME, _DOMAIN, _MODEL_ID, _ROWS, _GROUPS, _BITS, _CRC = range(8)
_CANARIES, _PROVENANCE, _SEQUENCE = range(8, 11)


@dataclass(frozen=True)
class Patch:
    """A named set of flips.

    `rows` holds (layer, projection, row), `groups` and `bits` (layer, projection, row, column),
    each sorted and distinct; a column is the index of a group of 128 weights, or of one weight.
    `model_id` (32 bytes) and `crc` (over the pristine rows) are both given or both None: then the
    patch is unbound. `canaries` are (prompt, expected answer). `provenance` and `extensions` (keys
    from 64 on) hold CBOR values: None, bool, int, float, str, bytes, list, dict with str keys.
    """

    name: str
    domain: str | None = None
    model_id: bytes | None = None
    rows: tuple[Flip, ...] = ()
    groups: tuple[Flip, ...] = ()
    bits: tuple[Flip, ...] = ()
    crc: int | None = None
    canaries: tuple[tuple[str, str], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    sequence: int | None = None
    extensions: Mapping[int, Any] = field(default_factory=dict)

    @property
    def n_flips(self) -> int:
        """Flips of all three kinds."""
        return len(self.rows) + len(self.groups) + len(self.bits)

    @property
    def bound(self) -> bool:
        """Whether the patch names its model and the CRC of its rows."""
        return self.model_id is not None


def encode(patch: Patch) -> bytes:
    """Encode a patch: the same patch always gives the same bytes.

    Raises BankaiError when a field holds what the format cannot.
    """
    if not name_ok(patch.name):
        raise BankaiError(f"{patch.name!r} is no patch name", expected=NAME_RULE)
    try:
        fields = {**_fields(patch), **patch.extensions}
        data = cbor2.dumps(fields, canonical=True)
        _patch.parse(data)  # the device's own judgement
    except (flips.StreamError, cbor2.CBOREncodeError, UnicodeEncodeError, OverflowError) as error:
        raise BankaiError(f"patch {patch.name} cannot be written: {error}") from error
    except CoreError as error:
        raise BankaiError(
            f"patch {patch.name} cannot be written: it {error_text(error.code)}",
            expected="what bankai_edge/patch/bkp.cddl describes",
        ) from error
    return data


def decode(data: bytes, what: str = "the patch") -> Patch:
    """Decode a `.bkp`; `what` names it in the error.

    Raises IncompatibleError (exit 4) for bytes that are truncated, damaged, of another version or
    signed.
    """
    try:
        _patch.parse(data)  # strict and bounded; what follows meets only what it let through
    except CoreError as error:
        raise patch_error(error, data, what=what) from None
    fields = cbor2.loads(data)
    return Patch(
        name=fields[_NAME],
        domain=fields.get(_DOMAIN),
        model_id=fields.get(_MODEL_ID),
        rows=_flips(fields, _ROWS),
        groups=_flips(fields, _GROUPS),
        bits=_flips(fields, _BITS),
        crc=fields.get(_CRC),
        canaries=tuple((prompt, expected) for prompt, expected in fields.get(_CANARIES, ())),
        provenance=fields.get(_PROVENANCE, {}),
        sequence=fields.get(_SEQUENCE),
        extensions={key: value for key, value in fields.items() if key >= FIRST_EXTENSION},
    )


def _fields(patch: Patch) -> dict[int, Any]:
    streams = {_ROWS: patch.rows, _GROUPS: patch.groups, _BITS: patch.bits}
    fields: dict[int, Any] = {_VERSION: FORMAT_VERSION, _NAME: patch.name}
    optional = {
        _DOMAIN: patch.domain,
        _MODEL_ID: patch.model_id,
        _CRC: patch.crc,
        _CANARIES: [list(canary) for canary in patch.canaries] or None,
        _PROVENANCE: dict(patch.provenance) or None,
        _SEQUENCE: patch.sequence,
    }
    fields.update((key, value) for key, value in optional.items() if value is not None)
    for key, members in streams.items():
        if members:
            fields[key] = flips.encode(members, columns=key != _ROWS)
    return fields


def _flips(fields: dict[int, Any], key: int) -> tuple[Flip, ...]:
    return flips.decode(fields[key], columns=key != _ROWS) if key in fields else ()
