"""Types of the `_device` extension: the C device over a store, a session and a port in Python.

cython_ext/device/ says what a device does with them: bk_device_store.h, bk_device_session.h,
bk_device_port.h and bk_signature_gate.h have the contract of every method here. A method may raise
DeviceError (or any exception with `rc` and `detail`); another one is logged and becomes INTERNAL.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

POLICIES: Final[Mapping[str, int]]
STRANGER: Final[int]
TRUSTED: Final[int]
REVOKED: Final[int]

Facts = Mapping[str, bool | int | str | bytes | Sequence[str]]
Entry = tuple[str, int, int]  # name, id, bytes
Lent = tuple[object, bytes]  # a decoded patch as a capsule good for this call, and its bytes

class DeviceError(Exception):
    """An error of our group, as a device answers it.

    `rc` is one of `_link.RC`'s numbers; `detail` is one optional sentence (at most 160 bytes are
    sent) that travels beside it; `sentence` is both, for a person.
    """

    rc: int
    detail: str
    sentence: str
    def __init__(self, rc: int, detail: str = "") -> None: ...

class PromptError(Exception):
    """A prompt without a token, or of as many as the context holds, or more."""

    def __init__(self, tokens: int) -> None: ...

class StorePort(Protocol):
    """What a device needs of a store; an id names one patch's bytes while the process runs."""

    def quota(self) -> tuple[int, int, int]:
        """(patches, bytes of one, bytes of all) at most."""

    def at(self, index: int) -> Entry | None:
        """The stored patch at `index` in the order of names."""

    def find(self, name: str) -> Entry | None:
        """The stored patch of a name."""

    def by_id(self, ident: int) -> Entry | None:
        """The patch of an id, if stored or needed by a set."""

    def read(self, ident: int) -> bytes:
        """Its file's bytes."""

    def sets(self) -> tuple[Sequence[int], Sequence[int], int]:
        """(active, previous, starts that were counted and not settled)."""

    def sequence(self, name: str) -> int | None:
        """The highest sequence number that a name has had."""

    def begin(self, name: str, size_bytes: int) -> None:
        """Start an upload."""

    def append(self, chunk: bytes) -> None:
        """Add to it."""

    def abort(self) -> None:
        """Drop it, if one is open."""

    def pending(self) -> bytes:
        """All of its bytes, forced to the medium."""

    def commit(self, sequence: int | None) -> int:
        """Make it the patch of its name; returns the id."""

    def use(self, ids: Sequence[int], gave_way: bool) -> None:
        """Record a new active set."""

    def remove(self, name: str, forget: bool) -> None:
        """Delete a patch."""

    def count_start(self) -> None:
        """Count a start with the active set."""

    def settle(self) -> None:
        """The active set has started well."""

class SessionPort(Protocol):
    """What a device needs of a model. The attributes stay as they are."""

    model_id: bytes
    model_name: str
    kernel: str
    ctx: int
    in_place: bool
    room_bytes: int  # of text that one step may bring about
    answer_bytes: int  # of text that the longest answer may have

    def check(self, patch: Lent) -> None:
        """Raise CoreError for a patch that the pristine weights do not fit."""

    def use(self, patches: Sequence[Lent]) -> int:
        """Switch to a set; returns the nanoseconds, raises CoreError."""

    def weights(self) -> tuple[bytes, bool]:
        """SHA-256 of the pristine weights, and whether they are as they were loaded."""

    def hold(self, on: bool) -> None:
        """Let no answer advance, or go on."""

    def begin(self, prompt: str, max_tokens: int, probe: bool) -> int:
        """Start an answer; returns its ticket, raises PromptError or BUSY."""

    def poll(self, ticket: int, wait: bool, most: int) -> tuple[bytes, int, int, bool]:
        """(new text, steps that brought it, microseconds since begin, done)."""

    def cancel(self, ticket: int) -> None:
        """Give an answer up."""

    def bench(self) -> Facts:
        """Time some tokens."""

    def logits(self, text: str) -> bytes:
        """SHA-256 over the logits of every position of a text."""

class HostPort(Protocol):
    """What else a device needs of where it runs."""

    def log(self, sentence: str) -> None:
        """For the operator."""

    def reset(self) -> None:
        """Restart soon."""

    def facts(self) -> Facts:
        """What it is: "board", "warnings"."""

    def datetime(self) -> str:
        """The local time as 2026-11-23T17:00:38."""

class TrustPort(Protocol):
    """Keys and curve."""

    can_verify: bool

    def verify(self, public_key: bytes, signature: bytes, signed: bytes) -> bool:
        """Whether a signature fits key and bytes."""

    def look_up(self, public_key: bytes) -> int:
        """STRANGER, TRUSTED or REVOKED."""

class Device:
    """A device. One thread at a time."""

    policy: str  # "open", "warn" or "require"; may be set while it runs

    def __init__(
        self,
        store: StorePort,
        session: SessionPort,
        port: HostPort,
        trust: TrustPort,
        *,
        version: str,
        policy: str,
        probe_budget_s: float,
        buf_size: int = 1024,
        buf_count: int = 4,
    ) -> None: ...
    def restore(self) -> None:
        """At start: bring the recorded set back, or what of it works."""

    def packet(self, packet: bytes) -> bytes:
        """Answer one SMP packet (8-byte header and CBOR body); b"" where SMP stays silent."""

    def drop_upload(self) -> None:
        """Drop an open upload, as when its line went away."""

    def push(self, name: str, data: bytes) -> None:
        """Take a file in as an upload does; raises DeviceError."""

    def use(self, names: Sequence[str]) -> int:
        """Make exactly this set active; returns the switch time in ns. Raises DeviceError."""

class Shell:
    """The line shell of one line."""

    def __init__(self, device: Device) -> None: ...
    def answer(self, line: bytes) -> str:
        """The answer to one line, or its beginning."""

    def step(self) -> str | None:
        """What has come since; None when no more will."""
