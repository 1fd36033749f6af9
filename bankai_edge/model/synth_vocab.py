"""A byte-level vocabulary of any size for synthetic models, or one borrowed from a real file.

Qwen's own vocabulary is not shipped. This one has its layout: 256 bytes, then what merges make,
then the added tokens, which for 151,669 rows get the very ids that they have in Qwen3.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from bankai_edge.errors import BankaiError, IncompatibleError, UsageError
from bankai_edge.model import gguf_metadata
from bankai_edge.model.gguf_writer import ARRAY, STRING, Raw, header
from bankai_edge.model.tokenizer import Tokenizer

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
_CONTROL = (
    "endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start", "box_end",
    "quad_start", "quad_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad",
)  # fmt: skip
_USER = (
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
    "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>",
    "<think>", "</think>",
)  # fmt: skip
_ADDED = [(f"<|{word}|>", CONTROL) for word in _CONTROL] + [(word, USER_DEFINED) for word in _USER]
_BY_FREQUENCY = "etaoinshrdlcumwfgypbvkjxqz"
_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}{% endif %}"
)


def byte_letters() -> list[str]:
    """The letter that byte-level BPE writes for each of the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in plain}
    others = (byte for byte in range(256) if byte not in letters)
    letters |= {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


def _merges(n: int) -> list[tuple[str, str]]:
    """n merges, each of tokens made before: space + letter, letter pairs, pairs of pairs."""
    space = byte_letters()[32]
    pairs = [(space, letter) for letter in _BY_FREQUENCY]
    rank = {letter: i for i, letter in enumerate(_BY_FREQUENCY)}
    letters = [(a, b) for a in _BY_FREQUENCY for b in _BY_FREQUENCY]
    pairs += sorted(letters, key=lambda pair: rank[pair[0]] + rank[pair[1]])
    if n > len(pairs):
        words = [a + b for a, b in pairs[26:]]
        by_sum = ((words[i], words[s - i]) for s in range(2 * len(words) - 1)
                  for i in range(max(0, s - len(words) + 1), min(s + 1, len(words))))  # fmt: skip
        pairs += [pair for pair, _ in zip(by_sum, range(n - len(pairs)), strict=False)]
    return pairs[:n]


def vocabulary(n: int) -> dict[str, Any]:
    """The tokenizer's key/values for a model of `n` rows.

    Raises:
        UsageError: fewer rows than the bytes and the added tokens need, or more than merges give.
    """
    least = 256 + len(_ADDED) + 1
    merges = _merges(n - least + 1) if n >= least else []
    if n != 256 + len(merges) + len(_ADDED) or not merges:
        raise UsageError(f"a vocabulary of {n} rows", expected=f"{least} to 450,000")
    tokens = byte_letters() + [a + b for a, b in merges] + [text for text, _ in _ADDED]
    first = n - len(_ADDED)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [NORMAL] * first + [kind for _, kind in _ADDED],
        "tokenizer.ggml.merges": [f"{a} {b}" for a, b in merges],
        "tokenizer.ggml.eos_token_id": first + 2,
        "tokenizer.ggml.padding_token_id": first,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": _TEMPLATE,
    }


def _cut(raw: Raw, n: int) -> Raw:
    """The first n entries of an array of strings or 32-bit numbers."""
    element = struct.unpack_from("<I", raw.data)[0]
    at = 12
    if element == STRING:
        for _ in range(n):
            at += 8 + struct.unpack_from("<Q", raw.data, at)[0]
    else:
        at += 4 * n
    return Raw(ARRAY, struct.pack("<IQ", element, n) + raw.data[12:at])


def borrowed_vocabulary(path: Path, rows: int) -> tuple[dict[str, Any], int]:
    """The tokenizer's key/values of a GGUF, and how many tokens there are.

    A list longer than `rows` (unless 0) loses its end, which in Qwen's files is padding.

    Raises:
        IncompatibleError: the file has another kind of tokenizer, or too few tokens.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = {
                key: Raw(kind, raw)
                for key, kind, raw in gguf_metadata.entries(data, path)
                if key.startswith("tokenizer.")
            }
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise BankaiError(f"{path} cannot be read ({error})", next_step="Check --vocab") from error
    n = Tokenizer(header(found, []), str(path)).vocab_size
    if n < rows:
        raise IncompatibleError(f"{path} has {n} tokens", expected=f"{rows} for this shape")
    if 0 < rows < n:
        for key in ("tokens", "token_type", "scores"):
            if (name := f"tokenizer.ggml.{key}") in found:
                found[name] = _cut(found[name], rows)
        n = Tokenizer(header(found, []), str(path)).vocab_size
    return dict(found), n
