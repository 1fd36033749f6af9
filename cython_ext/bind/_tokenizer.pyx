"""The core's tokenizer: bytes in, ids out, and back. `bankai_edge.model.tokenizer` is for people."""

from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport free, malloc

from bk_core cimport bk_gguf, bk_gguf_open

from bankai_edge.errors import CoreError

cdef extern from "stdbool.h" nogil:
    ctypedef bint c_bool "bool"

cdef extern from "bk_error.h" nogil:
    int BK_ERR_MEMORY

cdef extern from "bk_bpe.h" nogil:
    int BK_BPE_CONTROL
    ctypedef struct bk_bpe:
        size_t n_tokens, longest
        int32_t eos
    size_t bk_bpe_bytes(const bk_gguf *g)
    size_t bk_bpe_scratch_bytes(const bk_gguf *g)
    int bk_bpe_init(bk_bpe *b, const bk_gguf *g, void *mem, size_t n, void *scratch,
                    size_t scratch_n)
    size_t bk_bpe_encode_bytes(size_t n)
    int32_t bk_bpe_encode(const bk_bpe *b, const uint8_t *text, size_t n, c_bool special,
                          int32_t *ids, size_t cap, void *scratch, size_t scratch_n)
    int32_t bk_bpe_piece(const bk_bpe *b, int32_t id, uint8_t *out, size_t cap)
    int32_t bk_bpe_type(const bk_bpe *b, int32_t id)
    int32_t bk_bpe_special(const bk_bpe *b, const uint8_t *text, size_t n)

cdef extern from "bk_pretoken.h" nogil:
    size_t bk_pretoken_next(const uint8_t *text, size_t n)

# Enough scratch for a piece of 1 KiB between two cuts, which ordinary text never reaches.
cdef size_t ORDINARY_PIECE = 1024


cdef int32_t _encode(const bk_bpe *bpe, const uint8_t *text, size_t n, bint special, int32_t *ids,
                     size_t piece) noexcept nogil:
    """Encode with scratch for pieces of up to `piece` bytes; ids has room for n."""
    cdef size_t scratch_n = bk_bpe_encode_bytes(piece)
    cdef void *scratch = malloc(scratch_n)
    if scratch == NULL:
        return BK_ERR_MEMORY
    cdef int32_t count = bk_bpe_encode(bpe, text, n, special, ids, n, scratch, scratch_n)
    free(scratch)
    return count


cdef class Bpe:
    """The tables of one GGUF. `gguf` is any buffer with the file's bytes; it stays exported."""

    cdef const uint8_t[::1] _gguf
    cdef bk_bpe _bpe
    cdef void *_mem
    cdef readonly int n_tokens
    cdef readonly int eos
    cdef readonly size_t n_bytes

    def __cinit__(self, const uint8_t[::1] gguf not None):
        self._gguf = gguf
        cdef bk_gguf g
        cdef size_t n = <size_t>gguf.shape[0], scratch_n
        cdef const uint8_t *start = &gguf[0] if n else NULL
        cdef void *scratch
        cdef int err
        with nogil:
            err = bk_gguf_open(&g, start, n)
            if err == 0:
                # never 0: malloc(0) may say NULL, and bk_bpe_init then tells what is wrong
                n = bk_bpe_bytes(&g) + 8
                scratch_n = bk_bpe_scratch_bytes(&g) + 8
                self._mem = malloc(n)
                scratch = malloc(scratch_n)
                err = BK_ERR_MEMORY
                if self._mem != NULL and scratch != NULL:
                    err = bk_bpe_init(&self._bpe, &g, self._mem, n, scratch, scratch_n)
                free(scratch)
        if err:
            raise CoreError(err, f"byte {g.error_at}" if g.error_at else "")
        self.n_tokens = <int>self._bpe.n_tokens
        self.eos = self._bpe.eos
        self.n_bytes = n

    def __dealloc__(self):
        free(self._mem)

    def encode(self, const uint8_t[::1] text not None, bint special) -> list[int]:
        """Ids of the bytes; `special` allows control tokens. Raises CoreError."""
        cdef size_t n = <size_t>text.shape[0]
        if n == 0:
            return []
        cdef int32_t *ids = <int32_t *>malloc(n * sizeof(int32_t))
        if ids == NULL:
            raise MemoryError
        cdef int32_t count
        try:
            with nogil:
                count = _encode(&self._bpe, &text[0], n, special, ids, min(n, ORDINARY_PIECE))
                if count == BK_ERR_MEMORY and n > ORDINARY_PIECE:
                    count = _encode(&self._bpe, &text[0], n, special, ids, n)
            if count == BK_ERR_MEMORY:
                raise MemoryError
            if count < 0:
                raise CoreError(count)
            return [ids[i] for i in range(count)]
        finally:
            free(ids)

    def piece(self, int id) -> bytes:
        """The bytes of one token. Raises CoreError."""
        cdef bytearray out = bytearray(self._bpe.longest)
        cdef int32_t n = bk_bpe_piece(&self._bpe, id, <uint8_t *><char *>out, self._bpe.longest)
        if n < 0:
            raise CoreError(n)
        return bytes(out[:n])

    def is_control(self, int id) -> bool:
        """Whether the token is a control token (never part of ordinary text)."""
        return bk_bpe_type(&self._bpe, id) == BK_BPE_CONTROL

    def special(self, const uint8_t[::1] text not None) -> int:
        """The id of the special token with this text, negative when there is none."""
        if text.shape[0] == 0:
            return -1
        return bk_bpe_special(&self._bpe, &text[0], <size_t>text.shape[0])


def pretokens(const uint8_t[::1] text not None) -> list[bytes]:
    """The pieces into which the pre-tokenizer cuts a text."""
    cdef size_t at = 0, n = <size_t>text.shape[0], length
    pieces = []
    while at < n:
        length = bk_pretoken_next(&text[at], n - at)
        pieces.append(bytes(text[at:at + length]))
        at += length
    return pieces
