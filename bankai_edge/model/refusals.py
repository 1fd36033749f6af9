"""What to do about the core's refusal of a model or of its tokenizer."""

from __future__ import annotations

from bankai_edge._facts import BF16, F16, F32, GROUP, Q1_0, Err
from bankai_edge.errors import BankaiError, CoreError
from bankai_edge.refusals import Advice

# Tensor type ids that forks of llama.cpp gave other meanings; none of them is Q1_0.
FOREIGN_TYPES = {
    "type 40": "NVFP4 (or the Q1_0 of an early PrismML fork)",
    "type 42": "Q2_0 (or a ternary type of a PrismML fork)",
    "type 142": "PQ2_0 of PrismML's fork",
    "type 143": "PTQ1_0 of PrismML's fork",
}

_DOWNLOAD = "Fetch the file again and compare its size with the publisher's"
_FILE: dict[int, Advice] = {
    Err.TRUNCATED: Advice("a whole GGUF file", _DOWNLOAD, BankaiError),
    Err.MAGIC: Advice("the magic 'GGUF'"),
    Err.VERSION: Advice("version 3", "Convert it with a current llama.cpp"),
    Err.MALFORMED: Advice("", _DOWNLOAD, BankaiError),
    Err.TENSOR_TYPE: Advice(
        f"Q1_0 ({Q1_0}), F32 ({F32}), F16 ({F16}) or BF16 ({BF16})",
        "Use the publisher's Q1_0 file",
    ),
}
_MODEL: dict[int, Advice] = {
    **_FILE,
    Err.MISSING: Advice("a Qwen3 model"),
    Err.ARCH: Advice("general.architecture = qwen3"),
}
_QWEN = "Use a GGUF that carries Qwen's tokenizer"
_TOKENIZER: dict[int, Advice] = {
    **_FILE,
    Err.TRUNCATED: Advice("a whole GGUF file", _DOWNLOAD),
    Err.MALFORMED: Advice(
        "each token and each merge once, and merges of known tokens",
        _QWEN,
        found="has tokenizer lists that contradict each other",
    ),
    Err.MISSING: Advice("tokenizer.ggml.model, pre, tokens and merges with all 256 bytes", _QWEN),
    Err.SHAPE: Advice(f"tensors of 1 to 4 dimensions, Q1_0 in multiples of {GROUP}"),
    Err.LIMIT: Advice("a vocabulary of under 2 million tokens", _QWEN),
    Err.TOKENIZER: Advice('tokenizer model "gpt2" with pre "qwen2"', _QWEN),
}


def model_error(name: str, error: CoreError) -> BankaiError:
    """The sentence for a `bk_error` that opening a model gave; exit code 4, or 1 for damage."""
    meaning = FOREIGN_TYPES.get(error.detail)
    detail = f"{error.detail}, {meaning}" if meaning else error.detail
    return _MODEL.get(error.code, Advice()).refuse(name, error, detail=detail)


def tokenizer_error(name: str, error: CoreError) -> BankaiError:
    """The same for a tokenizer's tables."""
    advice = _TOKENIZER.get(error.code, Advice("a Qwen3 model's GGUF", _QWEN))
    return advice.refuse(name, error, detail=error.detail)
