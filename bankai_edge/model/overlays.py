"""Overlays of the patch sets used last, kept prepared: returning to one is a pointer swap."""

from __future__ import annotations

from collections.abc import Sequence

from bankai_edge import _engine, _patch
from bankai_edge.errors import CoreError
from bankai_edge.patch.refusals import patch_error

KEPT = 16  # sets: about a kilobyte each, or up to a copy of each row with finer flips


class Overlays:
    """The overlays of one model, for all its sessions; keyed by the patches' very bytes."""

    def __init__(self, core: _engine.Model) -> None:
        self._core = core
        # in order of use; the flag says that every patch in the set names its model
        self._kept: dict[tuple[_patch.Patch, ...], tuple[_patch.Overlay, bool]] = {}

    def get(
        self, patches: tuple[_patch.Patch, ...], *, allow_unbound: bool = False
    ) -> _patch.Overlay:
        """The overlay of a set of .bkp files, checked against the pristine weights once.

        Raises:
            IncompatibleError: a patch that does not fit (exit 4).
        """
        found = self._kept.pop(patches, None)
        if found is None or not (found[1] or allow_unbound):
            check_each(self._core, patches, allow_unbound)
            try:
                overlay = _patch.Overlay(self._core, patches)
            except CoreError as error:
                raise patch_error(error, None, self._core.id) from error
            found = overlay, not allow_unbound
        self._kept[patches] = found
        while len(self._kept) > KEPT:
            self._kept.pop(next(iter(self._kept)), None)
        return found[0]

    def clear(self) -> None:
        """Forget all of them; sessions keep what they use."""
        self._kept.clear()


def decode_each(
    core: _engine.Model, patches: Sequence[bytes | _patch.Patch]
) -> tuple[_patch.Patch, ...]:
    """Patches decoded, where they are not yet; the sentence names one that is none."""
    found = []
    for patch in patches:
        try:
            found.append(_patch.Patch.of(patch))
        except CoreError as error:
            raise patch_error(error, bytes(patch), core.id) from error
    return tuple(found)


def check_each(core: _engine.Model, patches: Sequence[_patch.Patch], allow_unbound: bool) -> None:
    """Check every patch against weights that are pristine now; the sentence names the misfit."""
    for patch in patches:
        try:
            _patch.check(core, patch, allow_unbound)
        except CoreError as error:
            raise patch_error(error, bytes(patch), core.id) from error
