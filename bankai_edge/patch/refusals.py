"""What to do about the core's refusal of a patch."""

from __future__ import annotations

from bankai_edge import _patch
from bankai_edge._facts import MAX_ACTIVE, Err
from bankai_edge.errors import BankaiError, CoreError
from bankai_edge.refusals import Advice

_SHORT_ID = 16  # hex digits of a model id that a person compares

_ITS_MODEL = "Use it with the model it was made for"
_ADVICE: dict[int, Advice] = {
    Err.TRUNCATED: Advice("a whole .bkp file", "Copy it again"),
    Err.VERSION: Advice("version 1", "Upgrade bankai-edge"),
    Err.LIMIT: Advice(f"files of at most 16 MiB, and at most {MAX_ACTIVE} patches at once"),
    Err.PATCH_SIGNED: Advice("the bare .bkp within its envelope"),
    Err.PATCH_MODEL: Advice("", _ITS_MODEL),
    Err.PATCH_UNBOUND: Advice(
        "a patch with a model id and a CRC",
        "Bind it (bankai-edge patch bind -m MODEL) or allow it with --unbound",
    ),
    Err.PATCH_RANGE: Advice("flips within the model's Q1_0 projections", _ITS_MODEL),
    Err.PATCH_CRC: Advice(
        "the rows it was made for", "Compare the model file with the publisher's"
    ),
    Err.READ_ONLY: Advice("", "Open the model as writable, or use an overlay", BankaiError),
}
_DAMAGED = Advice("a .bkp file", "Copy it again")


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
    advice = _ADVICE.get(error.code, _DAMAGED)
    match error.code:
        case Err.LIMIT if error.detail:
            return advice.refuse(what or "the set", error, detail=error.detail)
        case Err.VERSION:
            return advice.refuse(name, error, found=f"has format version {_version(patch)}")
        case Err.PATCH_MODEL:
            ours = f"model {short_id(model_id)}" if model_id else ""
            return advice.refuse(
                name, error, found=f"is for model {_model_of(patch)}", expected=ours
            )
        case Err.MALFORMED:
            return advice.refuse(name, error, found="is damaged or no patch")
    return advice.refuse(name, error)


def _version(patch: bytes | None) -> str:
    # the map's first pair is 0: version; larger numbers than fit a byte are not worth a decoder
    if patch and len(patch) > 2 and patch[1] == 0 and patch[2] < 24:
        return str(patch[2])
    return "unknown"


def _model_of(patch: bytes | None) -> str:
    model_id = _patch.parse(patch)["model_id"] if patch else None
    return short_id(model_id) if model_id else "of another id"
