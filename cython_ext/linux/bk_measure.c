/* bk_measure.c: the two loops that a benchmark times. */
#include "bk_measure.h"

#if defined(__x86_64__) && defined(__GLIBC__)
#define WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDEST
#endif

enum { MAX_PARTS = 64, LINE = 64, STREAMS = 4 };

/* One cache line; the compiler splits it into what the CPU has. */
typedef uint64_t line __attribute__((vector_size(LINE)));

typedef struct {
    const uint8_t *bytes;
    size_t n;
    uint32_t times;
    uint64_t sums[MAX_PARTS][LINE / 8]; /* a cache line each */
} read_job;

WIDEST static uint64_t sum_lines(const uint8_t *p, size_t n_lines, uint32_t times) {
    line sums[STREAMS] = {0}, next;
    for (uint32_t t = 0; t < times; t++) {
        /* `times` passes are not to be merged into one */
        __asm__ volatile("" : "+r"(p) : : "memory");
        size_t i = 0;
        for (; i + STREAMS <= n_lines; i += STREAMS)
            for (unsigned j = 0; j < STREAMS; j++) {
                memcpy(&next, p + (i + j) * LINE, LINE);
                sums[j] += next;
            }
        for (; i < n_lines; i++) {
            memcpy(&next, p + i * LINE, LINE);
            sums[0] += next;
        }
    }
    uint64_t sum = 0;
    for (unsigned j = 0; j < STREAMS; j++)
        for (unsigned k = 0; k < LINE / 8; k++) sum += sums[j][k];
    return sum;
}

static void read_part(void *arg, uint32_t part, uint32_t parts) {
    read_job *job = arg;
    size_t lines = job->n / LINE, begin = lines / parts * part;
    size_t end = part + 1 == parts ? lines : lines / parts * (part + 1);
    uint64_t sum = sum_lines(job->bytes + begin * LINE, end - begin, job->times);
    if (part < MAX_PARTS) job->sums[part][0] = sum;
}

uint64_t bk_measure_read(const uint8_t *bytes, size_t n, uint32_t times, const bk_parallel *par) {
    read_job job = {.bytes = bytes, .n = n, .times = times};
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
    uint32_t row0, row1;
    if (!bk_parallel_rows(j->w->rows, j->k->tile, part, parts, &row0, &row1)) return;
    if (j->n > 1 && j->k->gemm) {
        j->k->gemm(j->w, j->act, j->n, j->y, j->w->rows, row0, row1);
        return;
    }
    for (uint32_t t = 0; t < j->n; t++)
        j->k->gemv(j->w, j->act + t * j->k->act_bytes(j->w->cols), j->y + (size_t)t * j->w->rows,
                   row0, row1);
}

void bk_measure_multiply(const bk_kernel *k, const bk_mat *w, const void *act, uint32_t n, float *y,
                         const bk_parallel *par) {
    multiply_job job = {k, w, act, n, y};
    bk_parallel_run(par, multiply_part, &job);
}
