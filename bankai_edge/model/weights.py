"""A model file, mapped into memory and checked by the core."""

from __future__ import annotations

import hashlib
import mmap
from functools import cached_property
from pathlib import Path

from bankai_edge import _engine
from bankai_edge.durable import sha256_of
from bankai_edge.errors import BankaiError, CoreError, IncompatibleError
from bankai_edge.model.kernels import choose_kernel, choose_threads
from bankai_edge.model.overlays import Overlays
from bankai_edge.model.refusals import model_error
from bankai_edge.model.tokenizer import Tokenizer
from bankai_edge.shapes import ModelShape


def open_core(path: Path, *, writable: bool = False) -> tuple[mmap.mmap, _engine.Model]:
    """Map and check a file without laying its weights out; errors as `Model`'s."""
    access = mmap.ACCESS_COPY if writable else mmap.ACCESS_READ
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise IncompatibleError(f"{path} is empty", expected="a GGUF file")
            mapped = mmap.mmap(file.fileno(), 0, access=access)
    except OSError as error:
        raise BankaiError(
            f"{path} cannot be read ({error.strerror})", next_step="Check the path given"
        ) from error
    try:
        return mapped, _engine.Model(mapped, writable)
    except CoreError as error:
        raise model_error(str(path), error) from None


def shape_of(core: _engine.Model, name: str = "the model") -> ModelShape:
    """An opened model's shape; `name` where the file gives none."""
    counts = {k: v for k, v in core.shape.items() if k not in ("rms_eps", "rope_scale")}
    tied = all(tensor != "output.weight" for tensor, *_ in core.tensors())
    return ModelShape(core.name or name, **counts, tied=tied)


class Model:
    """Weights of one GGUF file, laid out for one kernel. Several sessions may share it.

    With `writable`, patches may flip bits in place: in the kernel's own copy of the weights, or,
    for a kernel that reads the file's layout, in a private mapping. The file is never written.
    """

    def __init__(
        self,
        path: Path,
        *,
        writable: bool = False,
        kernel: str | None = None,
        threads: int | None = None,
    ) -> None:
        """Map and check `path`; lay the weights out for `kernel` (see `choose_kernel`).

        Raises:
            BankaiError: the file is missing, empty, truncated or malformed.
            IncompatibleError: it is another format, architecture or tensor type (exit 4).
            UsageError: a kernel that does not run here (exit 2).
        """
        self.path = path
        kernel = choose_kernel(kernel)
        self._map, self.core = open_core(path, writable=writable)
        self.threads = choose_threads(threads, len(self._map))
        self.pool = _engine.Pool(self.threads) if self.threads > 1 else None
        try:
            self.core.pack(kernel, self.pool, writable)
        except MemoryError as error:
            raise BankaiError(
                f"not enough memory for the weights: {error}",
                next_step="Use BANKAI_KERNEL=scalar, which runs from the file",
            ) from error
        if self.core.packed_bytes:
            self._map.madvise(mmap.MADV_DONTNEED)  # the copy is what runs; pages come back if read
        self.writable = writable
        self.shape = shape_of(self.core, path.stem)

    @property
    def id(self) -> bytes:
        """32 bytes that name these weights on every board."""
        return self.core.id

    @property
    def name(self) -> str:
        """`general.name`, or the file's stem when the header has none."""
        return self.core.name or self.path.stem

    @property
    def mapped(self) -> mmap.mmap:
        """The file's bytes; `core.tensors()` says what lies where."""
        return self._map

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the file carries."""
        return Tokenizer(self._map, str(self.path))

    @cached_property
    def has_chat_template(self) -> bool:
        """Whether the file says how to talk to it; otherwise it only continues text."""
        return bool(self.core.text("tokenizer.chat_template"))

    @cached_property
    def overlays(self) -> Overlays:
        """Prepared patch sets, shared by every session on this model."""
        return Overlays(self.core)

    def weights_digest(self) -> str:
        """SHA-256 (hex) over every weight byte that the forward pass reads."""
        return hashlib.sha256(self.core.packed() or self._map).hexdigest()

    def intact(self) -> bool:
        """Whether those bytes are what the file on disk gives."""
        if self.core.packed_bytes:
            return self.core.pack_intact()
        return sha256_of(self.path) == self.weights_digest()
