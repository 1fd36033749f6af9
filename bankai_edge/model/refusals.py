"""What the core's refusal of a model means, as one sentence for a person."""

from __future__ import annotations

from pathlib import Path

from bankai_edge.errors import BankaiError, CoreError, IncompatibleError

# Tensor type ids that forks of llama.cpp gave other meanings; none of them is Q1_0.
FOREIGN_TYPES = {
    "40": "NVFP4 (or the Q1_0 of an early PrismML fork)",
    "42": "Q2_0 (or a ternary type of a PrismML fork)",
    "142": "PQ2_0 of PrismML's fork",
    "143": "PTQ1_0 of PrismML's fork",
}

_DOWNLOAD = "Fetch the file again and compare its size with the publisher's"


def model_error(path: Path, error: CoreError) -> BankaiError:
    """The sentence for a `bk_error` that opening `path` gave; exit code 4, or 1 for damage."""
    where, detail = str(path), error.detail
    match error.code:
        case -1:
            return BankaiError(
                f"{where} is truncated: a field at {detail} points past the end of the file",
                expected="a whole GGUF file",
                next_step=_DOWNLOAD,
            )
        case -2:
            return IncompatibleError(f"{where} is not a GGUF file", expected="the magic 'GGUF'")
        case -3:
            return IncompatibleError(
                f"{where} is a GGUF of another version",
                expected="version 3",
                next_step="Convert it with a current llama.cpp",
            )
        case -4:
            return BankaiError(
                f"{where} is malformed: {detail} breaks the GGUF rules", next_step=_DOWNLOAD
            )
        case -5:
            number = detail.removeprefix("type ")
            name = FOREIGN_TYPES.get(number)
            found = f"{where} holds a tensor of type {number}" + (f", {name}" if name else "")
            return IncompatibleError(
                found,
                expected="Q1_0 (41), F32 (0), F16 (1) or BF16 (30)",
                next_step="Use the publisher's Q1_0 file",
            )
        case -6:
            return IncompatibleError(f"{where} lacks {detail}", expected="a Qwen3 model")
        case -7:
            return IncompatibleError(
                f"{where}: {detail} has a shape that disagrees with the model's header"
            )
        case -8:
            return IncompatibleError(
                f"{where} is of another architecture or rope scaling",
                expected="general.architecture = qwen3",
            )
        case -9:
            return IncompatibleError(f"{where}: {detail} is beyond what this build holds")
        case _:
            return BankaiError(f"{where} cannot be opened: {error}")
