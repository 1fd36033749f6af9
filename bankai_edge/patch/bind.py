"""Binding: giving a patch the id of its model and the CRC of the rows it flips."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from bankai_edge import _patch
from bankai_edge.errors import CoreError
from bankai_edge.patch.bkp import Patch, encode
from bankai_edge.patch.refusals import patch_error


class _Core(Protocol):
    def capsule(self) -> object: ...


class _Model(Protocol):
    """What binding needs of a `bankai_edge.model.Model`."""

    @property
    def core(self) -> _Core: ...
    @property
    def id(self) -> bytes: ...


def bind(patch: Patch, model: _Model) -> Patch:
    """The same patch, bound to `model`, whose weights must be pristine.

    A patch that is bound already is checked instead. Raises IncompatibleError (exit 4) when it
    flips what the model does not have, or belongs to another model.
    """
    data = encode(patch)
    try:
        if patch.bound:
            _patch.check(model.core, data)
            return patch
        return replace(patch, model_id=model.id, crc=_patch.row_crc(model.core, data))
    except CoreError as error:
        raise patch_error(error, data, model.id) from None
