# The core's C interface as Cython sees it: one declaration for every extension module.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "bk_gguf.h":
    enum: BK_TYPE_Q1_0
    ctypedef struct bk_str:
        const char *p
        size_t n
    ctypedef struct bk_gguf:
        uint64_t n_kv, n_tensors
        size_t kv_at, tensors_at, error_at
        uint32_t error_type
    ctypedef struct bk_kv:
        bk_str key
        uint32_t type
    ctypedef struct bk_tensor:
        bk_str name
        uint32_t type, n_dims
        uint64_t dims[4]
        const uint8_t *data
        size_t n_bytes
    int bk_gguf_open(bk_gguf *g, const uint8_t *data, size_t n) nogil
    void bk_gguf_next_kv(const bk_gguf *g, size_t *at, bk_kv *kv) nogil
    void bk_gguf_next_tensor(const bk_gguf *g, size_t *at, bk_tensor *t) nogil
    int bk_gguf_str(const bk_gguf *g, const char *key, bk_str *value) nogil

cdef extern from "bk_q1.h":
    enum: BK_Q1_COLS
    size_t bk_q1_row_bytes(uint32_t cols) nogil

cdef extern from "bk_parallel.h":
    ctypedef struct bk_parallel:
        uint32_t parts

cdef extern from "bk_pool.h":
    ctypedef struct bk_pool:
        pass
    bk_pool *bk_pool_new(uint32_t threads) nogil
    void bk_pool_free(bk_pool *pool) nogil
    const bk_parallel *bk_pool_parallel(const bk_pool *pool) nogil

cdef extern from "bk_kernel.h":
    ctypedef struct bk_mat:
        const uint8_t *data
        uint32_t type, rows, cols
        uint8_t *packed
    ctypedef struct bk_kernel:
        const char *name
        const char *family
        uint32_t tile
        size_t (*act_bytes)(uint32_t cols) nogil
        void (*quantise)(const float *x, uint32_t cols, void *act) nogil
        size_t (*packed_bytes)(uint32_t rows, uint32_t cols) nogil
        void (*pack)(const bk_mat *w, uint32_t row0, uint32_t row1) nogil

cdef extern from "bk_measure.h":
    uint64_t bk_measure_read(const uint8_t *data, size_t n, uint32_t times,
                             const bk_parallel *par) nogil
    void bk_measure_multiply(const bk_kernel *k, const bk_mat *w, const void *act, uint32_t n,
                             float *y, const bk_parallel *par) nogil

cdef extern from "bk_cpu.h":
    ctypedef struct bk_cpu_kernel:
        const bk_kernel *kernel
        bint runs
        const char *needs
    bint bk_cpu_kernel_at(unsigned i, bk_cpu_kernel *entry) nogil

cdef extern from "bk_cpu_crc.h":
    ctypedef uint32_t (*bk_crc32c_fn)(uint32_t crc, const uint8_t *p, size_t n) noexcept nogil
    bk_crc32c_fn bk_cpu_crc32c() nogil

cdef extern from "bk_overlay.h":
    ctypedef struct bk_overlay:
        pass

cdef extern from "bk_model.h":
    ctypedef struct bk_model:
        uint32_t n_layers, hidden, ffn, n_heads, n_kv_heads, head_dim, vocab, context
        float rms_eps, rope_scale
        bint writable
        const bk_kernel *kernel
        uint64_t rope_turns[1]
        bk_crc32c_fn crc32c
        uint8_t id[32]
        const char *missing

cdef extern from "bk_state.h":
    ctypedef struct bk_state:
        const bk_overlay *overlay
        uint32_t ctx, batch, pos

cdef extern from "bk_open.h":
    int bk_model_open(bk_model *m, const bk_gguf *g) nogil

cdef extern from "bk_pack.h":
    size_t bk_model_packed_bytes(const bk_model *m, const bk_kernel *k) nogil
    int bk_model_pack(bk_model *m, const bk_kernel *k, void *mem, size_t n,
                      const bk_parallel *par) nogil
    int bk_model_check_pack(const bk_model *m, void *scratch, size_t n) nogil
    size_t bk_model_largest_pack(const bk_model *m) nogil

cdef extern from "bk_state.h":
    size_t bk_state_bytes(const bk_model *m, uint32_t ctx, uint32_t batch,
                          uint32_t parts) nogil
    int bk_state_init(bk_state *s, const bk_model *m, uint32_t ctx, uint32_t batch,
                      const bk_parallel *par, void *mem, size_t n) nogil

cdef extern from "bk_forward.h":
    int bk_forward(bk_state *s, const int32_t *tokens, uint32_t n, float *logits) nogil
    int bk_forward_all(bk_state *s, const int32_t *tokens, uint32_t n, float *logits) nogil

cdef extern from "bk_probe.h":
    ctypedef struct bk_probes:
        uint32_t n
        const uint32_t *at
        const int32_t *tokens
        const uint32_t *nodes
        const uint32_t *same
        const uint32_t *n_answer
        const int32_t *rival
    ctypedef struct bk_probe_scores:
        double *logprob
        double *margin
        double *gap
    int bk_probe_read(bk_state *s, const bk_probes *p, const uint32_t *chosen, uint32_t n_chosen,
                      uint32_t layer, const float *start, float *taps, size_t tap_stride,
                      float *logits, bk_probe_scores *out) nogil
