/* bk_measure.c: the two loops that a benchmark times. */
#include "bk_measure.h"

enum { MAX_PARTS = 64, STREAMS = 8 };

typedef struct {
    const uint8_t *bytes;
    size_t n;
    uint64_t sums[MAX_PARTS][8]; /* a cache line each */
} read_job;

static void read_part(void *arg, uint32_t part, uint32_t parts) {
    read_job *job = arg;
    size_t lines = job->n / 64, begin = lines / parts * part;
    size_t end = part + 1 == parts ? lines : lines / parts * (part + 1);
    uint64_t sums[STREAMS] = {0}, word;
    for (size_t i = begin; i < end; i++)
        for (unsigned j = 0; j < STREAMS; j++) {
            memcpy(&word, job->bytes + 64 * i + 8 * j, 8);
            sums[j] += word;
        }
    uint64_t sum = 0;
    for (unsigned j = 0; j < STREAMS; j++) sum += sums[j];
    if (part < MAX_PARTS) job->sums[part][0] = sum;
}

uint64_t bk_measure_read(const uint8_t *bytes, size_t n, const bk_parallel *par) {
    read_job job = {.bytes = bytes, .n = n};
    bk_parallel_run(par, read_part, &job);
    uint64_t sum = 0;
    for (unsigned i = 0; i < MAX_PARTS; i++) sum += job.sums[i][0];
    return sum;
}

typedef struct {
    const bk_kernel *k;
    const bk_mat *w;
    const uint8_t *act;
    uint32_t n;
    float *y;
} multiply_job;

static void multiply_part(void *arg, uint32_t part, uint32_t parts) {
    const multiply_job *j = arg;
    uint32_t tile = j->k->tile, tiles = (j->w->rows + tile - 1) / tile;
    uint32_t row0 = bk_parallel_bound(tiles, part, parts) * tile;
    uint32_t row1 = bk_parallel_bound(tiles, part + 1, parts) * tile;
    if (row1 > j->w->rows) row1 = j->w->rows;
    if (row0 >= row1) return;
    if (j->n > 1 && j->k->gemm) {
        j->k->gemm(j->w, j->act, j->n, j->y, j->w->rows, row0, row1);
        return;
    }
    for (uint32_t t = 0; t < j->n; t++)
        j->k->gemv(j->w, j->act + t * j->k->act_bytes(j->w->cols), j->y + (size_t)t * j->w->rows,
                   row0, row1);
}

void bk_measure_multiply(const bk_kernel *k, const bk_mat *w, const void *act, uint32_t n,
                         float *y, const bk_parallel *par) {
    multiply_job job = {k, w, act, n, y};
    bk_parallel_run(par, multiply_part, &job);
}
