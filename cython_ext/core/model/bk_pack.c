/* bk_pack.c: a model's matrices in a kernel's own layout. */
#include "bk_pack.h"

typedef struct {
    bk_mat *w;
    const bk_kernel *k;
} pack_job;

static void pack_part(void *arg, uint32_t part, uint32_t parts) {
    const pack_job *job = arg;
    uint32_t row0, row1;
    if (bk_parallel_rows(job->w->rows, job->k->tile, part, parts, &row0, &row1))
        job->k->pack(job->w, row0, row1);
}

/* Matrix i of all that a kernel multiplies by: every projection, then the head; NULL at the end. */
static const bk_mat *matrix(const bk_model *m, uint32_t i) {
    uint32_t n = m->n_layers * BK_N_PROJ;
    if (i < n) return &m->layers[i / BK_N_PROJ].proj[i % BK_N_PROJ];
    return i == n ? &m->head : NULL;
}

static size_t packed_bytes(const bk_kernel *k, const bk_mat *w) {
    return k->packed_bytes && w->type == BK_TYPE_Q1_0 ? k->packed_bytes(w->rows, w->cols) : 0;
}

size_t bk_model_packed_bytes(const bk_model *m, const bk_kernel *k) {
    size_t n = 0;
    const bk_mat *w;
    for (uint32_t i = 0; (w = matrix(m, i)); i++) n += packed_bytes(k, w);
    return n;
}

int bk_model_pack(bk_model *m, const bk_kernel *k, void *mem, size_t n, const bk_parallel *par) {
    if (n < bk_model_packed_bytes(m, k)) return BK_ERR_MEMORY;
    uint8_t *at = mem;
    bk_mat *w;
    for (uint32_t i = 0; (w = (bk_mat *)(uintptr_t)matrix(m, i)); i++) {
        size_t bytes = packed_bytes(k, w);
        w->packed = bytes ? at : NULL;
        at += bytes;
        pack_job job = {w, k};
        if (bytes) bk_parallel_run(par, pack_part, &job);
    }
    m->kernel = k;
    return BK_OK;
}

size_t bk_model_largest_pack(const bk_model *m) {
    size_t largest = 0;
    const bk_mat *w;
    for (uint32_t i = 0; (w = matrix(m, i)); i++) {
        size_t n = w->packed ? packed_bytes(m->kernel, w) : 0;
        if (n > largest) largest = n;
    }
    return largest;
}

int bk_model_check_pack(const bk_model *m, void *scratch, size_t n) {
    if (n < bk_model_largest_pack(m)) return BK_ERR_MEMORY;
    const bk_mat *w;
    for (uint32_t i = 0; (w = matrix(m, i)); i++) {
        if (!w->packed) continue;
        bk_mat fresh = *w;
        fresh.packed = scratch;
        m->kernel->pack(&fresh, 0, w->rows);
        if (memcmp(fresh.packed, w->packed, packed_bytes(m->kernel, w)) != 0) return 0;
    }
    return 1;
}
