"""Text to token ids and back, with the vocabulary that a model's GGUF carries."""

from __future__ import annotations

import codecs
import mmap
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bankai_edge._tokenizer import Bpe
from bankai_edge.errors import BankaiError, CoreError, UsageError
from bankai_edge.model.refusals import tokenizer_error

if TYPE_CHECKING:
    from typing_extensions import Buffer

_STOPS = ("<|endoftext|>", "<|im_end|>")


class Tokenizer:
    """A model's byte-level BPE, read from its GGUF; safe to use from several threads.

    Nothing is normalised: decoding what was encoded gives the same bytes back, whatever they are.
    """

    def __init__(self, source: Buffer, name: str = "the model") -> None:
        """Read the tables from the bytes of a GGUF, which stay in use; `name` is for errors.

        Raises IncompatibleError when the file has no tokenizer of this kind.
        """
        try:
            self._bpe = Bpe(source)
        except CoreError as error:
            raise tokenizer_error(name, error) from None

    @classmethod
    def open(cls, source: str | Path | Buffer) -> Tokenizer:
        """Read the tables of a GGUF file, given its path or its bytes; errors as above."""
        if isinstance(source, str | Path):
            return cls(_map(Path(source)), str(source))
        return cls(source)

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return self._bpe.n_tokens

    @property
    def longest(self) -> int:
        """Bytes of the longest token."""
        return self._bpe.longest

    @property
    def eos_id(self) -> int | None:
        """The token that ends a text, if the file names one."""
        return self._bpe.eos if self._bpe.eos >= 0 else None

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """The tokens that end an answer: the end of text, and of a chat turn."""
        ids = (self.eos_id, *map(self.special_id, _STOPS))
        return frozenset(token for token in ids if token is not None)

    def encode(self, text: str | bytes, special: bool = True) -> list[int]:
        """Token ids of `text`.

        With `special`, the text of a control token (`<|im_end|>`) becomes that token; without it,
        ordinary tokens spell it: use that for text that is not trusted. User-defined tokens
        (`<think>`) are always recognised, as in llama.cpp. Bytes need not be UTF-8.
        """
        if isinstance(text, str):
            try:
                # what Python made of undecodable bytes (argv, file names) becomes bytes again
                text = text.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError as error:
                raise UsageError(
                    f"the text holds a lone surrogate at character {error.start}",
                    expected="Unicode text",
                ) from None
        try:
            return self._bpe.encode(text, special)
        except CoreError:
            raise BankaiError(
                f"the text has {len(text)} bytes", expected="less than 128 MiB at once"
            ) from None

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for; raises UsageError outside the vocabulary."""
        try:
            return self._bpe.piece(token)
        except (CoreError, OverflowError):
            raise UsageError(
                f"token {token} does not exist", expected=f"0 to {self.vocab_size - 1}"
            ) from None

    def is_control(self, token: int) -> bool:
        """Whether a token controls the model (`<|im_end|>`) and is no text for a reader."""
        return 0 <= token < self.vocab_size and self._bpe.is_control(token)

    def special_id(self, text: str) -> int | None:
        """The id of the control or user-defined token spelled `text`, if there is one."""
        token = self._bpe.special(text.encode())
        return token if token >= 0 else None

    def decode_bytes(self, tokens: Iterable[int], special: bool = True) -> bytes:
        """The exact bytes that `tokens` stand for; control tokens only if `special`."""
        return b"".join(self.piece(t) for t in tokens if special or not self.is_control(t))

    def decode(self, tokens: Iterable[int], special: bool = True) -> str:
        """`decode_bytes` as text; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(tokens, special).decode("utf-8", "replace")

    def stream(self, special: bool = False) -> TokenStream:
        """A decoder for tokens that arrive one by one."""
        return TokenStream(self, special)


class TokenStream:
    """Decodes a growing sequence of tokens and never gives out part of a character."""

    def __init__(self, tokenizer: Tokenizer, special: bool) -> None:
        self._tokenizer = tokenizer
        self._special = special
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """The characters that `token` completes: maybe none, maybe several."""
        return self._utf8.decode(self._tokenizer.decode_bytes([token], self._special))

    def finish(self) -> str:
        """What is left at the end: U+FFFD when the last character was never completed."""
        return self._utf8.decode(b"", final=True)


def _map(path: Path) -> mmap.mmap | bytes:
    """A file's bytes without reading them."""
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return b""  # which cannot be mapped
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise BankaiError(f"{path}: {error.strerror}", expected="a readable GGUF file") from error
