"""The core's tokenizer (cython_ext/bind/_tokenizer.pyx). Everything raises `CoreError`."""

from typing_extensions import Buffer

class Bpe:
    """The tables of one GGUF, whose bytes `gguf` exports for as long as this object lives."""

    def __init__(self, gguf: Buffer) -> None: ...
    @property
    def n_tokens(self) -> int: ...
    @property
    def eos(self) -> int:
        """The end-of-text token; -1 when the file names none."""
    @property
    def n_bytes(self) -> int:
        """Memory that the tables take."""
    def encode(self, text: Buffer, special: bool) -> list[int]: ...
    def piece(self, id: int) -> bytes: ...
    def is_control(self, id: int) -> bool: ...
    def special(self, text: Buffer) -> int:
        """The id of the special token with this text; negative when there is none."""

def pretokens(text: Buffer) -> list[bytes]:
    """The pieces into which the pre-tokenizer cuts a text."""
