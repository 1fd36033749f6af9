"""What the core's refusal of a patch means, as one sentence for a person."""

from __future__ import annotations

from bankai_edge import _patch
from bankai_edge.errors import BankaiError, CoreError, IncompatibleError

_SHORT_ID = 16  # hex digits of a model id that a person compares


class _Code:
    """bk_error.h's codes that bk_patch and bk_overlay return."""

    TRUNCATED, VERSION, LIMIT = -1, -3, -9
    MODEL, UNBOUND, RANGE, CRC, SIGNED, READ_ONLY = -40, -41, -42, -43, -44, -45


def short_id(model_id: bytes) -> str:
    """The start of a model id, as shown to people."""
    return model_id.hex()[:_SHORT_ID]


def patch_error(
    error: CoreError,
    patch: bytes | None = None,
    model_id: bytes | None = None,
    *,
    what: str | None = None,
) -> BankaiError:
    """The sentence for a `bk_error` that a patch (its bytes) met on a model (its id).

    `what` names the patch; otherwise its own name is used, when it has been read.
    """
    name = what or (f"patch {error.detail}" if error.detail else "the patch")
    match error.code:
        case _Code.TRUNCATED:
            return IncompatibleError(
                f"{name} is truncated: it ends within a field",
                expected="a whole .bkp file",
                next_step="Copy it again",
            )
        case _Code.VERSION:
            return IncompatibleError(
                f"{name} has format version {_version(patch)}",
                expected="version 1",
                next_step="Upgrade bankai-edge",
            )
        case _Code.LIMIT:
            return IncompatibleError(
                f"{error.detail or name + ' is too large'}",
                expected="files of at most 16 MiB, and at most 8 patches at once",
            )
        case _Code.SIGNED:
            return IncompatibleError(
                f"{name} is signed (COSE)", expected="the bare .bkp within its envelope"
            )
        case _Code.MODEL:
            return IncompatibleError(
                f"{name} is for model {_model_of(patch)}",
                expected=f"model {short_id(model_id)}" if model_id else "",
                next_step="Use it with the model it was made for",
            )
        case _Code.UNBOUND:
            return IncompatibleError(
                f"{name} is unbound: it names no model",
                expected="a patch with a model id and a CRC",
                next_step="Bind it (bankai-edge patch bind -m MODEL) or allow it with --unbound",
            )
        case _Code.RANGE:
            return IncompatibleError(
                f"{name} flips a layer, row, group or bit that the model does not have",
                expected="flips within the model's Q1_0 projections",
                next_step="Use it with the model it was made for",
            )
        case _Code.CRC:
            return IncompatibleError(
                f"{name} does not match the weights: the CRC of the rows it flips differs",
                expected="the rows it was made for",
                next_step="Compare the model file with the publisher's",
            )
        case _Code.READ_ONLY:
            return BankaiError(
                f"{name} cannot be applied in place: the weights are read-only",
                next_step="Open the model as writable, or use an overlay",
            )
        case _:
            return IncompatibleError(
                f"{name} is damaged or no patch", expected="a .bkp file", next_step="Copy it again"
            )


def _version(patch: bytes | None) -> str:
    # the map's first pair is 0: version; larger numbers than fit a byte are not worth a decoder
    if patch and len(patch) > 2 and patch[1] == 0 and patch[2] < 24:
        return str(patch[2])
    return "unknown"


def _model_of(patch: bytes | None) -> str:
    if patch is None:
        return "of another id"
    model_id = _patch.parse(patch)["model_id"]
    return short_id(model_id) if model_id else "of another id"
