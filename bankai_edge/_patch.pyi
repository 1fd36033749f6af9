"""The core's patch room (bind/_patch.pyx). Everything here raises `CoreError` on refusal."""

from collections.abc import Iterable
from typing import Protocol, TypedDict

class _Model(Protocol):
    def capsule(self) -> object: ...

class ParsedPatch(TypedDict):
    """A decoded patch; `rows`, `groups`, `bits` and `canaries` are numbers of them."""

    name: str
    domain: str | None
    model_id: bytes | None
    crc: int | None
    rows: int
    groups: int
    bits: int
    canaries: int
    sequence: int | None

class Patch:
    """A decoded `.bkp`; hashes and compares as its bytes, and goes wherever they go."""

    def __init__(self, data: bytes) -> None: ...
    @staticmethod
    def adopt(capsule: object, data: bytes) -> Patch:
        """A patch that the core has decoded from these bytes: nothing is decoded again."""
    @staticmethod
    def of(patch: bytes | Patch) -> Patch:
        """The patch itself, or that of its bytes; raises CoreError for bytes that are none."""
    def __bytes__(self) -> bytes: ...

def parse(data: bytes) -> ParsedPatch:
    """Decode a `.bkp` strictly, as the firmware does."""

def is_signed(data: bytes) -> bool:
    """Whether these bytes begin like a COSE_Sign1 envelope."""

def unwrap(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """(payload, public key, signature, signed head) of an envelope; nothing is verified.

    The signature is over the signed head followed by the payload.
    """

def check(model: _Model, data: bytes | Patch, allow_unbound: bool = False) -> None:
    """Refuse a patch of another model, out of range, or whose rows' CRC differs.

    The model's rows must be pristine. Changes nothing.
    """

def row_crc(model: _Model, data: bytes) -> int:
    """CRC-32C over the bytes of every distinct row touched, in (layer, projection, row) order."""

def xor_in_place(model: _Model, data: bytes) -> None:
    """Flip a checked patch in the weights of a writable model; the second time reverts it."""

def swap(
    model: _Model,
    old: Iterable[bytes | Patch],
    new: Iterable[bytes | Patch],
    allow_unbound: bool = False,
) -> None:
    """Replace an active set in place: revert `old`, check all of `new`, apply; or leave `old`."""

class Overlay:
    """At most 8 patches merged over weights that stay untouched.

    `check` each of them first: here only ranges are looked at again.
    """

    n_bytes: int
    n_rows: int  # whose output differs in how it is computed
    n_shadows: int  # of them, that have a patched copy
    def __init__(self, model: _Model, patches: Iterable[bytes | Patch]) -> None: ...
    def capsule(self) -> object:
        """The overlay for `State.set_overlay`."""
