/* count_kernels.c: run one operation of one kernel a given number of times, and nothing else that
 * depends on that number: the difference between two runs under an instruction counter is the cost.
 *
 *   count_kernels KERNEL OPERATION ROWS COLS VECTORS TIMES
 *
 * Operations: quantise, gemv, gemm (of VECTORS), rms_norm, silu_mul (of COLS), attend (ROWS
 * positions of COLS dimensions). Exits with 3 where this CPU cannot run the kernel.
 */
#include <stdlib.h>
#include <string.h>

#include "bk_cpu.h"
#include "bk_fp16.h"
#include "check.h"

typedef struct {
    const bk_kernel *k;
    bk_mat w;
    uint32_t n;
    float *x, *y; /* [n, cols], [n, rows] */
    uint8_t *act;
    uint16_t *cache; /* f16 [rows, cols] */
} job;

static void *room(size_t bytes) {
    void *p = aligned_alloc(4096, (bytes + 4096) & ~(size_t)4095);
    if (!p) abort();
    memset(p, 0, bytes);
    return p;
}

static uint32_t next(uint32_t *state) { return *state = *state * 1664525 + 1013904223; }

static void fill(job *j, uint32_t rows, uint32_t cols) {
    uint32_t state = 1;
    uint8_t *data = room((size_t)rows * bk_q1_row_bytes(cols));
    j->w = (bk_mat){.data = data, .type = BK_TYPE_Q1_0, .rows = rows, .cols = cols};
    for (size_t i = 0; i < rows * bk_q1_row_bytes(cols); i++)
        data[i] = (uint8_t)(next(&state) >> 24);
    for (size_t i = 0; i < rows * bk_q1_row_bytes(cols); i += BK_Q1_BYTES)
        bk_store16_le(data + i, 0x2401); /* a small scale */
    j->x = room((size_t)j->n * cols * sizeof(float));
    j->y = room(((size_t)j->n * rows + cols) * sizeof(float));
    for (size_t i = 0; i < (size_t)j->n * cols; i++)
        j->x[i] = (float)(int32_t)next(&state) * 4.6566129e-10f;
    j->act = room(j->n * j->k->act_bytes(cols));
    for (uint32_t t = 0; t < j->n; t++)
        j->k->quantise(j->x + (size_t)t * cols, cols, j->act + t * j->k->act_bytes(cols));
    if (j->k->pack) {
        j->w.packed = room(j->k->packed_bytes(rows, cols));
        j->k->pack(&j->w, 0, rows);
    }
}

static void fill_cache(job *j) {
    size_t n = (size_t)j->w.rows * j->w.cols;
    j->cache = room(n * 2);
    for (size_t i = 0; i < n; i++) j->cache[i] = bk_fp16_from_f32((float)(i % 31) * 0.01f);
}

/* False if there is no such operation. */
static bool run(const job *j, const char *operation) {
    const bk_kernel *k = j->k;
    uint32_t rows = j->w.rows, cols = j->w.cols;
    bk_vec norm = {(const uint8_t *)j->x, BK_TYPE_F32, cols};
    if (!strcmp(operation, "quantise")) k->quantise(j->x, cols, j->act);
    else if (!strcmp(operation, "gemv")) k->gemv(&j->w, j->act, j->y, 0, rows);
    else if (!strcmp(operation, "gemm") && k->gemm)
        k->gemm(&j->w, j->act, j->n, j->y, rows, 0, rows);
    else if (!strcmp(operation, "rms_norm")) k->rms_norm(j->x, &norm, 1e-6f, j->y);
    else if (!strcmp(operation, "silu_mul")) k->silu_mul(j->y, j->x, cols);
    else if (!strcmp(operation, "attend"))
        k->attend(j->x, j->cache, j->cache, rows, cols, j->y + cols, j->y);
    else return false;
    return true;
}

int main(int argc, char **argv) {
    bk_cpu_kernel entry;
    if (argc != 7) return 2;
    for (unsigned i = 0; bk_cpu_kernel_at(i, &entry); i++) {
        if (strcmp(entry.kernel->name, argv[1])) continue;
        if (!entry.runs) return 3;
        job j = {.k = entry.kernel, .n = (uint32_t)atoi(argv[5])};
        fill(&j, (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]));
        if (!strcmp(argv[2], "attend")) fill_cache(&j);
        for (int t = atoi(argv[6]); t > 0; t--) CHECK(run(&j, argv[2]));
        return CHECK_RESULT();
    }
    return 2;
}
