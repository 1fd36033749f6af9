/* bench_kernels.c: every kernel of this CPU beside the machine's own limits, measured alternately.
 *
 *   bench_kernels [threads [runs [MB [kernel]]]]      1,2 threads: run it twice
 *
 * Each figure is a median over many short pieces (and the best of them), kernels and the plain read
 * taking turns, so that whatever else the machine does falls on all of them. On a busy machine the
 * best is a piece that nothing interrupted: read it against the best of the plain read.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "bk_cpu.h"
#include "bk_measure.h"
#include "bk_pool.h"

enum { MAX_RUNS = 101, MAX_KERNELS = 16, MAX_PIECES = 64, HUGE_PAGE = 1 << 21 };

static const bk_kernel *kernels[MAX_KERNELS];
static unsigned n_kernels;
static const bk_parallel *cores;
static unsigned runs = 5;
static size_t stream_bytes = (size_t)250 << 20;

/* One thread is timed by the CPU time it got: other programs' turns do not count. */
static double now(void) {
    struct timespec t;
    clock_gettime(cores->parts == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(double *v, size_t n) {
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}

static double median(double *v) { return median_of(v, runs); }

static void *room(size_t bytes) {
    size_t whole = (bytes + HUGE_PAGE) / HUGE_PAGE * HUGE_PAGE;
    void *p = aligned_alloc(HUGE_PAGE, whole);
    if (!p) abort();
    if (bytes > HUGE_PAGE) madvise(p, whole, MADV_HUGEPAGE);
    memset(p, 1, whole);
    return p;
}

static uint8_t *random_rows(uint32_t rows, uint32_t cols) {
    size_t n = rows * bk_q1_row_bytes(cols);
    uint8_t *p = room(n);
    uint32_t x = 1;
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
    for (size_t i = 0; i < n; i += BK_Q1_BYTES) bk_store16_le(p + i, 0x2401);
    return p;
}

static float *random_floats(size_t n) {
    float *p = room(n * sizeof(float));
    uint32_t x = 7;
    for (size_t i = 0; i < n; i++) p[i] = (float)(int32_t)(x = x * 1664525 + 1013904223) * 1e-9f;
    return p;
}

/* ---- one kernel's copies of a matrix ------------------------------------------------------- */

typedef struct {
    const bk_kernel *k;
    uint32_t n_mats, n; /* n vectors */
    bk_mat *w;
    uint8_t *packed, *act;
    float *y;
    size_t bytes; /* of one matrix */
    double *seconds;
} workload;

static workload prepare(const bk_kernel *k, const uint8_t *data, uint32_t rows, uint32_t cols,
                        uint32_t n, size_t total) {
    workload l = {.k = k, .n = n};
    l.bytes = k->pack ? k->packed_bytes(rows, cols) : rows * bk_q1_row_bytes(cols);
    l.n_mats = (uint32_t)((total + l.bytes - 1) / l.bytes);
    l.w = calloc(l.n_mats, sizeof *l.w);
    l.packed = room(l.bytes * l.n_mats);
    for (uint32_t i = 0; i < l.n_mats; i++) {
        uint8_t *at = l.packed + l.bytes * i;
        l.w[i] = (bk_mat){data, BK_TYPE_Q1_0, rows, cols, at};
        if (k->pack) k->pack(&l.w[i], 0, rows);
        else l.w[i].data = memcpy(at, data, l.bytes);
    }
    float *x = random_floats((size_t)n * cols);
    l.act = room(n * k->act_bytes(cols));
    for (uint32_t t = 0; t < n; t++)
        k->quantise(x + (size_t)t * cols, cols, l.act + t * k->act_bytes(cols));
    l.y = room((size_t)rows * n * sizeof(float));
    l.seconds = calloc(MAX_RUNS * MAX_PIECES, sizeof(double));
    free(x);
    return l;
}

static void discard(workload *l) {
    free(l->w), free(l->packed), free(l->act), free(l->y), free(l->seconds);
}

/* n_mats matrices from the first on, round and round. */
static double time_multiply(const workload *l, uint32_t first, uint32_t n_mats, uint32_t repeats) {
    double start = now();
    for (uint32_t i = 0; i < repeats; i++)
        for (uint32_t j = 0; j < n_mats; j++)
            bk_measure_multiply(l->k, &l->w[(first + j) % l->n_mats], l->act, l->n, l->y, cores);
    return now() - start;
}

static uint64_t sink;

static double time_read(const workload *l, uint32_t first, uint32_t n_mats, uint32_t repeats) {
    uint32_t begin = first % l->n_mats; /* not past the end, so at times a little earlier */
    if (begin + n_mats > l->n_mats) begin = l->n_mats - n_mats;
    double start = now();
    size_t bytes = l->bytes * n_mats / 64 * 64;
    sink += bk_measure_read(l->packed + begin * l->bytes, bytes, repeats, cores);
    return now() - start;
}

static void print_gemv(const workload *l, double s, double best, double read, double read_best) {
    double gb = (double)l->bytes / 1e9;
    printf("    %-16s %8.2f GB/s (%.2f)  %5.1f %% of read (%.1f)  %9.2f us\n", l->k->name, gb / s,
           gb / best, 100 * gb / s / read, 100 * gb / best / read_best, s * 1e6);
}

/* One shape in all kernels; total: bytes of weights to go through, in pieces of some 20 MB. The
 * plain read takes another piece than the kernel after it, which so finds nothing in the cache. */
static void bench_shape(uint32_t rows, uint32_t cols, uint32_t n, size_t total, uint32_t repeats) {
    uint8_t *data = random_rows(rows, cols);
    workload l[MAX_KERNELS];
    static double reads[MAX_RUNS * MAX_PIECES];
    for (unsigned i = 0; i < n_kernels; i++) l[i] = prepare(kernels[i], data, rows, cols, n, total);
    uint32_t n_mats = l[0].n_mats, piece = (uint32_t)((20u << 20) / l[0].bytes), samples = 0;
    if (piece > n_mats) piece = n_mats;
    if (piece < 1) piece = 1;
    for (unsigned r = 0; r < runs; r++)
        for (uint32_t at = 0; at < n_mats && samples < (r + 1) * MAX_PIECES; at += piece) {
            reads[samples] = time_read(&l[0], at + n_mats / 2, piece, repeats);
            for (unsigned i = 0; i < n_kernels; i++)
                l[i].seconds[samples] = time_multiply(&l[i], at, piece, repeats);
            samples++;
        }
    double gb = (double)l[0].bytes * piece * repeats / 1e9;
    double read = gb / median_of(reads, samples), read_best = gb / reads[0];
    if (n == 1)
        printf("%6ux%-5u %6.1f MB  read %6.2f GB/s (%.2f)\n", rows, cols,
               (double)(l[0].bytes * n_mats) / 1e6, read, read_best);
    for (unsigned i = 0; i < n_kernels; i++) {
        double s = median_of(l[i].seconds, samples) / repeats / piece;
        double best = l[i].seconds[0] / repeats / piece; /* sorted by now */
        double gmac = (double)rows * cols * n / 1e9;
        if (n == 1) print_gemv(&l[i], s, best, read, read_best);
        else
            printf("%6ux%-5u n %3u  %-16s %8.1f GMAC/s (%.1f)\n", rows, cols, n, l[i].k->name,
                   gmac / s, gmac / best);
        discard(&l[i]);
    }
    free(data);
}

/* ---- the int8 peak ------------------------------------------------------------------------ */

typedef struct {
    bool wide;
    uint32_t loops;
} peak_job;

static void peak_part(void *arg, uint32_t part, uint32_t parts) {
    const peak_job *job = arg;
    (void)part, (void)parts;
#if defined(__x86_64__)
#define TEN(op)                                                                                    \
    op "0\n\t" op "1\n\t" op "2\n\t" op "3\n\t" op "4\n\t" op "5\n\t" op "6\n\t" op "7\n\t" op     \
       "8\n\t" op "9\n\t"
    for (uint32_t i = 0; i < job->loops; i++) {
        if (job->wide)
            __asm__ volatile(TEN("vpdpbusd %%zmm14,%%zmm15,%%zmm")::
                                 : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                                   "xmm7", "xmm8", "xmm9");
        else /* maddubs needs an addition with it */
            __asm__ volatile(TEN("vpmaddubsw %%ymm14,%%ymm15,%%ymm")
                                 TEN("vpaddw %%ymm14,%%ymm15,%%ymm")::
                                     : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
                                       "xmm6", "xmm7", "xmm8", "xmm9");
    }
#endif
    (void)job;
}

static void bench_peak(void) {
#if defined(__x86_64__)
    for (int wide = 0; wide < 2; wide++) {
        bool vnni = __builtin_cpu_supports("avx512vnni"), avx2 = __builtin_cpu_supports("avx2");
        if (!(wide ? vnni : avx2)) continue;
        peak_job job = {wide, 3000000};
        double seconds[MAX_RUNS];
        for (unsigned r = 0; r < runs; r++) {
            double start = now();
            bk_parallel_run(cores, peak_part, &job);
            seconds[r] = now() - start;
        }
        double macs = (wide ? 64 : 32) * 10.0 * job.loops * cores->parts;
        double middle = median(seconds);
        printf("int8 peak, %-22s %8.1f GMAC/s (%.1f)\n",
               wide ? "VPDPBUSD 512" : "VPMADDUBSW+VPADDW 256", macs / middle / 1e9,
               macs / seconds[0] / 1e9);
    }
#endif
}

/* ---- vectors ------------------------------------------------------------------------------ */

#define TIME_US(times, call)                                                                       \
    do {                                                                                           \
        for (unsigned r_ = 0; r_ < runs; r_++) {                                                   \
            double start_ = now();                                                                 \
            for (int i_ = 0; i_ < (times); i_++) call;                                             \
            seconds[r_] = now() - start_;                                                          \
        }                                                                                          \
        printf(" %9.2f", median(seconds) / (times) * 1e6);                                         \
    } while (0)

static void bench_vectors(void) {
    enum { N = 6144, POSITIONS = 4000, D = 128 };
    double seconds[MAX_RUNS];
    float *x = random_floats(N), *y = random_floats(N), *q = random_floats(D);
    float *scores = room(POSITIONS * sizeof(float)), *out = room(N * sizeof(float));
    uint16_t *kv = room(POSITIONS * D * sizeof(uint16_t) * 2);
    for (size_t i = 0; i < (size_t)POSITIONS * D * 2; i++) kv[i] = (uint16_t)(0x3000 + i % 997);
    bk_vec norm = {(const uint8_t *)y, BK_TYPE_F32, 2048};
    printf(
        "us: %14s  quantise256 quantise2048 quantise6144 norm2048 silu6144 attend100 attend1000 "
        "attend4000\n",
        "");
    for (unsigned i = 0; i < n_kernels; i++) {
        const bk_kernel *k = kernels[i];
        void *act = room(k->act_bytes(N));
        printf("    %-14s", k->name);
        TIME_US(1000, k->quantise(x, 256, act));
        TIME_US(300, k->quantise(x, 2048, act));
        TIME_US(100, k->quantise(x, 6144, act));
        TIME_US(300, k->rms_norm(x, &norm, 1e-6f, out));
        memcpy(out, x, N * sizeof(float));
        TIME_US(100, k->silu_mul(out, y, N));
        TIME_US(100, k->attend(q, kv, kv + (size_t)POSITIONS * D, 100, D, scores, out));
        TIME_US(20, k->attend(q, kv, kv + (size_t)POSITIONS * D, 1000, D, scores, out));
        TIME_US(5, k->attend(q, kv, kv + (size_t)POSITIONS * D, POSITIONS, D, scores, out));
        puts("");
        free(act);
    }
    free(x), free(y), free(q), free(scores), free(out), free(kv);
}

int main(int argc, char **argv) {
    uint32_t threads = argc > 1 ? (uint32_t)atoi(argv[1]) : 1;
    if (argc > 2) runs = (unsigned)atoi(argv[2]);
    if (argc > 3) stream_bytes = (size_t)atoi(argv[3]) << 20;
    if (runs < 1 || runs > MAX_RUNS || threads < 1) return 2;
    bk_cpu_kernel entry;
    for (unsigned i = 0; bk_cpu_kernel_at(i, &entry) && n_kernels < MAX_KERNELS; i++)
        if (entry.runs && (argc < 5 || strcmp(argv[4], entry.kernel->name) == 0))
            kernels[n_kernels++] = entry.kernel;
    bk_pool *pool = bk_pool_new(threads);
    if (!pool || !n_kernels) return 1;
    cores = bk_pool_parallel(pool);

    static const uint32_t SHAPES[][2] = {{2048, 2048}, {6144, 2048}, {2048, 6144}, {151669, 2048}};
    static const uint32_t NANO[][2] = {{64, 256}, {256, 256}, {512, 256}, {768, 256}};
    static const uint32_t VECTORS[] = {8, 64, 512};
    printf("%u threads, medians of %u\n-- GEMV, from memory\n", threads, runs);
    for (int i = 0; i < 4; i++) bench_shape(SHAPES[i][0], SHAPES[i][1], 1, stream_bytes, 1);
    puts("-- GEMV, in cache");
    for (int i = 0; i < 3; i++) bench_shape(SHAPES[i][0], SHAPES[i][1], 1, 1, 100);
    for (int i = 0; i < 4; i++) bench_shape(NANO[i][0], NANO[i][1], 1, 1, 2000);
    puts("-- GEMM");
    bench_peak();
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            bench_shape(SHAPES[i][0], SHAPES[i][1], VECTORS[j], (size_t)4 << 20, 1);
    puts("-- vectors");
    bench_vectors();
    bk_pool_free(pool);
    return sink == 42;
}
