"""Types of the `_link` extension: serial framing and the errors of docs/protocol.md."""

from typing import Final, Literal

BK_GROUP: Final[int]  # 0x424B, our SMP group
RC: Final[dict[str, int]]  # name of an rc of our group -> number, e.g. RC["WRONG_MODEL"]

class FrameError(Exception):
    """A packet or a line length that the serial framing cannot carry."""

def frame_encode(packet: bytes, line_length: int = 127) -> bytes:
    """Return `packet` as serial lines of at most `line_length` bytes, each ended by a newline.

    Raises FrameError when the packet exceeds 65533 bytes or line_length is under 8.
    """

def crc32c(data: bytes, seed: int = 0) -> int:
    """CRC-32C (Castagnoli) of `data`; pass the last result as `seed` to continue."""

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
