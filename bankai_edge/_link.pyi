"""Types of the `_link` extension: serial framing and the SMP server of the C core.

docs/protocol.md describes the commands, their CBOR keys and their errors.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

BK_GROUP: Final[int]  # 0x424B, our SMP group
RC: Final[dict[str, int]]  # name of an rc of our group -> number, e.g. RC["WRONG_MODEL"]

class FrameError(Exception):
    """A packet or a line length that the serial framing cannot carry."""

class DeviceError(Exception):
    """What a Device raises to answer a request with an error of our group.

    `rc` is one of RC's numbers; `detail` is one optional sentence (at most 160 bytes are sent)
    that travels beside it under the key "detail", e.g. naming both model ids.
    """

    rc: int
    detail: str
    def __init__(self, rc: int, detail: str = "") -> None: ...

def frame_encode(packet: bytes, line_length: int = 127) -> bytes:
    """Return `packet` as serial lines of at most `line_length` bytes, each ended by a newline.

    Raises FrameError when the packet exceeds 65533 bytes or line_length is under 8.
    """

def crc32c(data: bytes, seed: int = 0) -> int:
    """CRC-32C (Castagnoli) of `data`; pass the last result as `seed` to continue."""

def crc32(data: bytes, seed: int = 0) -> int:
    """CRC-32 (IEEE, as zlib) of `data`; pass the last result as `seed` to continue."""

def rc_name(rc: int, group: int = 0x424B) -> str:
    """Return the name of an error: of our group, of FS (8) or OS (0); group -1 is SMP's own `rc`.

    "UNKNOWN" when the group has no such number.
    """

def rc_text(rc: int, group: int = 0x424B) -> str:
    """Return the error as one sentence without a full stop."""

class FrameReader:
    """Finds packets and a human's lines of text in the bytes of one serial line."""

    def __init__(self, max_packet: int = 4096) -> None: ...
    @property
    def errors(self) -> int:
        """Frames dropped so far: bad base64, length or CRC, too large, cut short."""

    def feed(self, data: bytes) -> list[tuple[Literal["packet", "line"], bytes]]:
        """Take any number of bytes; return the packets and non-empty lines they completed."""

    def reset(self) -> None:
        """Forget a half-read frame or line, as when the port was opened anew."""

class Device(Protocol):
    """What SmpServer asks of a device. Only for annotations: absent at run time.

    Every method may raise DeviceError; any other exception is logged and answered with INTERNAL.
    Names are checked before the call: `[a-z0-9][a-z0-9._-]{0,31}`, without "/bkp/" and ".bkp".
    """

    def upload_begin(self, name: str, total: int) -> None:
        """Open a temporary for `total` bytes, replacing one that is open."""

    def upload_write(self, name: str, off: int, data: bytes) -> None:
        """Append `data` at `off`; offsets arrive in order, without gaps."""

    def upload_finish(self, name: str) -> None:
        """All bytes are there: decode, check against the model, rename into the store.

        upload_abort follows when this, or upload_write, raises.
        """

    def upload_abort(self, name: str) -> None:
        """Drop the temporary."""

    def file_size(self, name: str) -> int:
        """Size in bytes; NO_SUCH_PATCH when absent."""

    def file_read(self, name: str, off: int, n: int) -> bytes:
        """Up to `n` bytes from `off`; fewer only at the end of the file."""

    def list(self) -> Sequence[tuple[str, int, bool]]:
        """(name, size in bytes, active) of every stored patch, in a stable order."""

    def activate(self, names: Sequence[str]) -> int:
        """Make exactly this set active, all or nothing; () is off. Returns the switch time, ns."""

    def deactivate(self, names: Sequence[str]) -> int:
        """Take these out of the active set; () is all of it. Returns the switch time, ns."""

    def remove(self, name: str) -> None:
        """Delete a stored patch; ACTIVE when it is in the active set."""

    def rollback(self) -> int:
        """Return to the previous active set. Returns the switch time, ns."""

    def verify(self) -> Mapping[str, bool | int | str | bytes | Sequence[str]]:
        """Check weights and store; "ok": bool and whatever else is worth showing."""

    def generate(self, prompt: str, max_tokens: int) -> None:
        """Start generating and return at once; BUSY while another prompt runs."""

    def output(self, off: int) -> tuple[bytes, bool, int, int]:
        """(UTF-8 bytes from `off`, done, tokens so far, elapsed us) of the last generate.

        The server sends as many of the bytes as fit; `done` is sent only with the last of them.
        """

    def info(self) -> Mapping[str, bool | int | str | bytes | Sequence[str]]:
        """What this device is and runs (keys: docs/protocol.md)."""

    # Also, where a device has them: `datetime() -> str`, the local time as 2026-11-23T17:00:38
    # (else the system's clock), and `bench()`, a mapping like info's (else NOT_SUPPORTED).

    def reset(self) -> None:
        """Restart soon after returning (the answer must get out first)."""

class SmpServer:
    """The core's SMP server in front of a Device. One thread at a time."""

    def __init__(self, device: Device, buf_size: int = 1024, buf_count: int = 4) -> None:
        """buf_size: bytes of the largest packet in either direction, 128 to 65535."""

    def handle(self, packet: bytes) -> bytes:
        """Answer one packet (8-byte SMP header and CBOR body); b"" where SMP stays silent."""

    def drop_upload(self) -> None:
        """Drop an open upload, as when its line went away."""
