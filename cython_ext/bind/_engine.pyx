"""Binding of the core's model and forward pass: buffers in, logits out, GIL released."""

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from bk_core cimport *

from bankai_edge.errors import CoreError

cdef extern from "stdlib.h" nogil:
    int posix_memalign(void **p, size_t alignment, size_t n)

cdef extern from "sys/mman.h" nogil:
    int madvise(void *p, size_t n, int advice)
    enum:
        MADV_HUGEPAGE

cdef extern from "bk_error.h" nogil:
    int BK_ERR_TENSOR_TYPE

cdef enum:
    HUGE_PAGE = 1 << 21


cdef void *allocate(size_t n) noexcept nogil:
    """Aligned memory, on huge pages where it is large: a weight sweep else misses the TLB."""
    cdef void *p = NULL
    if posix_memalign(&p, HUGE_PAGE if n >= HUGE_PAGE else 64, n):
        return NULL
    if n >= HUGE_PAGE:
        madvise(p, n, MADV_HUGEPAGE)
    return p


def kernels():
    """(name, family, runs here, needs) of every kernel in this build, the fastest first."""
    cdef bk_cpu_kernel entry
    found = []
    while bk_cpu_kernel_at(<unsigned>len(found), &entry):
        found.append((entry.kernel.name.decode(), entry.kernel.family.decode(),
                      bool(entry.runs), entry.needs.decode()))
    return found


cdef const bk_kernel *kernel_named(str name) except NULL:
    cdef bk_cpu_kernel entry
    cdef unsigned i = 0
    while bk_cpu_kernel_at(i, &entry):
        if entry.kernel.name.decode() == name:
            if not entry.runs:
                raise ValueError(f"kernel {name} needs {entry.needs.decode()}")
            return entry.kernel
        i += 1
    raise ValueError(f"no kernel {name}")


cdef class Pool:
    """Threads that share one computation; a second caller waits for the first."""

    cdef bk_pool *_pool
    cdef readonly uint32_t threads

    def __cinit__(self, uint32_t threads):
        self.threads = threads
        self._pool = bk_pool_new(threads)
        if self._pool == NULL:
            raise MemoryError(f"{threads} threads cannot be started")

    def __dealloc__(self):
        bk_pool_free(self._pool)


cdef const bk_parallel *parallel_of(Pool pool) noexcept:
    return bk_pool_parallel(pool._pool) if pool is not None else NULL


def gguf_entries(const uint8_t[::1] buffer not None):
    """(key, type id, the value's bytes) of every key/value of a GGUF. Raises CoreError.

    Tensors of types that nothing here computes with do not matter to them.
    """
    cdef bk_gguf g
    cdef bk_kv kv
    cdef size_t n = buffer.shape[0], at, start
    cdef const uint8_t *p = &buffer[0] if n else NULL
    cdef int err
    with nogil:
        err = bk_gguf_open(&g, p, n)
    if err and err != BK_ERR_TENSOR_TYPE:
        raise CoreError(err, f"byte {g.error_at}")
    at = g.kv_at
    found = []
    for _ in range(g.n_kv):
        bk_gguf_next_kv(&g, &at, &kv)
        start = <const uint8_t *>kv.key.p - p + kv.key.n + 4  # behind the type's id
        found.append((kv.key.p[:kv.key.n].decode("utf-8", "replace"), kv.type, p[start:at]))
    return found


cdef class Model:
    """Weights in a buffer (bytes, mmap) that this object keeps alive and never copies."""

    cdef const uint8_t[::1] _bytes
    cdef bk_gguf _gguf
    cdef bk_model _model
    cdef void *_packed
    cdef readonly size_t packed_bytes

    def __init__(self, buffer, bint writable=False):
        self._bytes = buffer
        cdef size_t n = self._bytes.shape[0]
        cdef const uint8_t *p = &self._bytes[0] if n else NULL
        cdef int err
        with nogil:
            err = bk_gguf_open(&self._gguf, p, n)
        if err:
            raise CoreError(err, f"type {self._gguf.error_type}" if self._gguf.error_type
                            else f"byte {self._gguf.error_at}")
        with nogil:
            err = bk_model_open(&self._model, &self._gguf)
        if err:
            raise CoreError(err, self._model.missing.decode())
        self._model.crc32c = bk_cpu_crc32c()
        self._model.writable = writable and not memoryview(buffer).readonly

    def __dealloc__(self):
        free(self._packed)

    def pack(self, str kernel not None, Pool pool=None, bint writable=False):
        """Run on this kernel, from weights in its own layout if it has one; before any State.

        `writable` allows in-place flips of that layout.
        """
        cdef const bk_kernel *k = kernel_named(kernel)
        cdef const bk_parallel *par = parallel_of(pool)
        cdef int err
        if self._packed != NULL:
            raise ValueError("the weights are packed already")
        self.packed_bytes = bk_model_packed_bytes(&self._model, k)
        if self.packed_bytes:
            self._packed = allocate(self.packed_bytes)
            if self._packed == NULL:
                raise MemoryError(f"{self.packed_bytes} bytes for packed weights")
        with nogil:
            err = bk_model_pack(&self._model, k, self._packed, self.packed_bytes, par)
        if err:
            raise CoreError(err)
        if self.packed_bytes:
            self._model.writable = writable

    def needs(self, str kernel not None, uint32_t ctx, uint32_t batch=32, uint32_t threads=1):
        """(bytes of packed weights, bytes of a state) on this kernel; nothing is allocated."""
        cdef bk_model m = self._model
        m.kernel = kernel_named(kernel)
        return (bk_model_packed_bytes(&m, m.kernel), bk_state_bytes(&m, ctx, batch, threads))

    def pack_intact(self):
        """Whether the packed weights are, to the byte, what the buffer's weights give."""
        cdef size_t n = bk_model_largest_pack(&self._model)
        cdef void *scratch = allocate(n)
        cdef int same
        if scratch == NULL:
            raise MemoryError(f"{n} bytes to check the packed weights")
        with nogil:
            same = bk_model_check_pack(&self._model, scratch, n)
        free(scratch)
        return same == 1

    def packed(self):
        """The packed weights as read-only bytes, or None."""
        if self._packed == NULL:
            return None
        return memoryview(<const uint8_t[:self.packed_bytes]>self._packed)

    @property
    def kernel(self):
        return self._model.kernel.name.decode()

    def capsule(self):
        """The `bk_model *`, for the other extension modules; valid while this object lives."""
        return PyCapsule_New(&self._model, "bk_model", NULL)

    @property
    def id(self):
        return bytes((<uint8_t *>self._model.id)[:32])

    def text(self, str key not None):
        """The header's text of this key, or ""."""
        cdef bytes name = key.encode()
        cdef bk_str s
        if bk_gguf_str(&self._gguf, name, &s):
            return ""
        return s.p[:s.n].decode("utf-8", "replace")

    @property
    def name(self):
        return self.text("general.name")

    @property
    def shape(self):
        m = &self._model
        return {
            "layers": m.n_layers, "hidden": m.hidden, "ffn": m.ffn, "heads": m.n_heads,
            "kv_heads": m.n_kv_heads, "head_dim": m.head_dim, "vocab": m.vocab,
            "context": m.context, "rms_eps": m.rms_eps, "rope_scale": m.rope_scale,
        }

    @property
    def rope(self):
        """Each frequency's turns per position, and the magnitude factor."""
        cdef uint32_t i
        turns = [self._model.rope_turns[i] / 2.0 ** 64 for i in range(self._model.head_dim // 2)]
        return turns, self._model.rope_scale

    def tensors(self):
        cdef bk_tensor t
        cdef size_t at = self._gguf.tensors_at
        found = []
        for _ in range(self._gguf.n_tensors):
            bk_gguf_next_tensor(&self._gguf, &at, &t)
            found.append((t.name.p[:t.name.n].decode("utf-8", "replace"), t.type,
                          tuple(t.dims[i] for i in range(t.n_dims)),
                          t.data - &self._bytes[0], t.n_bytes))
        return found


cdef class State:
    """One conversation: KV cache and activations. Not safe to call from two threads at once."""

    cdef bk_state _state
    cdef Model _model
    cdef Pool _pool
    cdef void *_memory
    cdef object _overlay
    cdef readonly size_t n_bytes

    def __cinit__(self, Model model not None, uint32_t ctx, uint32_t batch=32, Pool pool=None):
        cdef uint32_t parts = pool.threads if pool is not None else 1
        self._model = model
        self._pool = pool
        self.n_bytes = bk_state_bytes(&model._model, ctx, batch, parts)
        if self.n_bytes == 0:
            raise ValueError(f"no state of ctx {ctx}, batch {batch}")
        self._memory = allocate(self.n_bytes)
        if self._memory == NULL:
            raise MemoryError(f"{self.n_bytes} bytes for a context of {ctx} tokens")
        cdef int err = bk_state_init(&self._state, &model._model, ctx, batch, parallel_of(pool),
                                     self._memory, self.n_bytes)
        if err:
            raise CoreError(err)

    def __dealloc__(self):
        free(self._memory)

    @property
    def ctx(self):
        return self._state.ctx

    @property
    def pos(self):
        return self._state.pos

    def truncate(self, uint32_t pos):
        """Forget every token from position `pos` on."""
        if pos > self._state.pos:
            raise ValueError(f"position {pos} lies beyond the {self._state.pos} tokens held")
        self._state.pos = pos

    def set_overlay(self, overlay):
        """Switch to an overlay (an object with capsule()), or to the pristine weights (None)."""
        cdef const bk_overlay *p = NULL
        if overlay is not None:
            p = <const bk_overlay *>PyCapsule_GetPointer(overlay.capsule(), "bk_overlay")
        self._state.overlay = p
        self._overlay = overlay

    def forward(self, const int32_t[::1] tokens not None, float[::1] logits):
        """Append tokens [n]; logits [vocab] of the last one, unless None."""
        self._run(tokens, logits, 1, False)

    def forward_all(self, const int32_t[::1] tokens not None, float[::1] logits not None):
        """Append tokens [n]; logits [n * vocab], one row a token."""
        self._run(tokens, logits, tokens.shape[0], True)

    cdef _run(self, const int32_t[::1] tokens, float[::1] logits, size_t rows, bint all_rows):
        cdef uint32_t n = <uint32_t>tokens.shape[0]
        cdef float *out = NULL
        cdef int err
        if n == 0:
            raise ValueError("no tokens")
        if logits is not None:
            if <size_t>logits.shape[0] != rows * self._model._model.vocab:
                raise ValueError(f"logits hold {logits.shape[0]} floats, not "
                                 f"{rows * self._model._model.vocab}")
            out = &logits[0]
        with nogil:
            if all_rows:
                err = bk_forward_all(&self._state, &tokens[0], n, out)
            else:
                err = bk_forward(&self._state, &tokens[0], n, out)
        if err:
            raise CoreError(err)


def read_probes(State state not None, const uint32_t[::1] at not None,
                const int32_t[::1] tokens not None, const uint32_t[::1] nodes not None,
                const uint32_t[::1] same not None, const uint32_t[::1] n_answer not None,
                const int32_t[::1] rival not None, const uint32_t[::1] chosen not None,
                uint32_t layer, float[:, :, ::1] taps, bint fill,
                double[:, ::1] scores not None):
    """Scores [3, chosen] of probes; from `taps` [layers, nodes, hidden], or filling them."""
    cdef bk_probes p
    cdef bk_probe_scores out
    cdef bk_model *m = &state._model._model
    cdef uint32_t n = <uint32_t>n_answer.shape[0], i, longest = 0, read
    cdef size_t stride = 0
    cdef float *logits
    cdef float *first = NULL
    cdef int err
    if n == 0 or chosen.shape[0] == 0:
        return
    if (at.shape[0] != n + 1 or tokens.shape[0] != at[n] or nodes.shape[0] != at[n]
            or same.shape[0] != n or rival.shape[0] != n or scores.shape[0] != 3
            or scores.shape[1] != chosen.shape[0] or at[0] != 0):
        raise ValueError("arrays of different probes")
    for i in range(n):
        if at[i + 1] <= at[i] or n_answer[i] == 0 or n_answer[i] >= at[i + 1] - at[i]:
            raise ValueError(f"probe {i} has no prompt or no answer")
        read = at[i + 1] - at[i] - 1
        if read > state._state.batch or same[i] > read or rival[i] >= <int64_t>m.vocab:
            raise ValueError(f"probe {i} does not fit")
        longest = max(longest, n_answer[i])
    for i in range(at[n]):
        if tokens[i] < 0 or tokens[i] >= <int64_t>m.vocab:
            raise ValueError(f"token {tokens[i]} is outside the vocabulary")
        if taps is not None and nodes[i] >= taps.shape[1]:
            raise ValueError(f"node {nodes[i]} lies outside the taps")
    for i in range(<uint32_t>chosen.shape[0]):
        if chosen[i] >= n or (i and chosen[i] <= chosen[i - 1]):
            raise ValueError("chosen probes are not in order")
    if taps is not None:
        if taps.shape[0] != m.n_layers or taps.shape[2] != m.hidden:
            raise ValueError("taps of another shape")
        stride = <size_t>taps.shape[1] * m.hidden
        first = &taps[0, 0, 0]
    if layer >= m.n_layers or ((layer or fill) and first == NULL):
        raise ValueError(f"no residual that enters layer {layer}")
    if fill and chosen.shape[0] != n:
        raise ValueError("taps are filled by all probes together")
    p = bk_probes(n, &at[0], &tokens[0], &nodes[0], &same[0], &n_answer[0], &rival[0])
    out = bk_probe_scores(&scores[0, 0], &scores[1, 0], &scores[2, 0])
    logits = <float *>allocate(<size_t>longest * m.vocab * sizeof(float))
    if logits == NULL:
        raise MemoryError("logits of an answer")
    with nogil:
        err = bk_probe_read(&state._state, &p, &chosen[0], <uint32_t>chosen.shape[0], layer,
                            first + layer * stride if layer else NULL, first if fill else NULL,
                            stride, logits, &out)
    free(logits)
    if err:
        raise CoreError(err)


cdef class Products:
    """One random matrix in one kernel's layout, for timing its products."""

    cdef const bk_kernel *_kernel
    cdef bk_mat _mat
    cdef Pool _pool
    cdef void *_memory
    cdef void *_packed
    cdef void *_act
    cdef void *_y
    cdef readonly size_t weight_bytes
    cdef readonly uint32_t vectors

    def __cinit__(self, str kernel not None, const uint8_t[::1] blocks not None, uint32_t rows,
                  uint32_t cols, uint32_t vectors=1, Pool pool=None):
        cdef const bk_kernel *k = kernel_named(kernel)
        cdef size_t n = rows * bk_q1_row_bytes(cols)
        cdef uint32_t i
        if cols % BK_Q1_COLS or rows == 0 or <size_t>blocks.shape[0] != n:
            raise ValueError(f"{blocks.shape[0]} bytes are no {rows} x {cols} of Q1_0")
        self._kernel, self._pool, self.vectors, self.weight_bytes = k, pool, vectors, n
        self._memory = allocate(n)
        self._act = allocate(k.act_bytes(cols) * vectors)
        self._y = allocate(<size_t>rows * vectors * sizeof(float) + 4 * cols)
        self._packed = allocate(k.packed_bytes(rows, cols)) if k.packed_bytes != NULL else NULL
        if not self._memory or not self._act or not self._y or (k.packed_bytes and
                                                                not self._packed):
            raise MemoryError(f"a {rows} x {cols} matrix")
        memcpy(self._memory, &blocks[0], n)
        self._mat = bk_mat(<const uint8_t *>self._memory, BK_TYPE_Q1_0, rows, cols, <uint8_t *>self._packed)
        if k.pack != NULL:
            k.pack(&self._mat, 0, rows)
        for i in range(cols):
            (<float *>self._y)[i] = <float>((i * 37) % 255) - 127
        for i in range(vectors):
            k.quantise(<const float *>self._y, cols, <uint8_t *>self._act + i * k.act_bytes(cols))

    def __dealloc__(self):
        free(self._memory)
        free(self._packed)
        free(self._act)
        free(self._y)

    def run(self, uint32_t times=1):
        """Multiply `times` times."""
        cdef const bk_parallel *par = parallel_of(self._pool)
        cdef uint32_t i
        with nogil:
            for i in range(times):
                bk_measure_multiply(self._kernel, &self._mat, self._act, self.vectors,
                                    <float *>self._y, par)


def read_all(const uint8_t[::1] data not None, Pool pool=None, uint32_t times=1):
    """Read every whole cache line of `data` with all threads, `times` times."""
    cdef const bk_parallel *par = parallel_of(pool)
    cdef const uint8_t *p = &data[0]
    cdef size_t n = data.shape[0]
    with nogil:
        bk_measure_read(p, n, times, par)
