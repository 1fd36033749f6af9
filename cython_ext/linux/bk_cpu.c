/* bk_cpu.c: CPU features from cpuid or the auxiliary vector, and the list of kernels. */
#include "bk_cpu.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

static bool any(void) { return true; }

#if defined(__aarch64__)

extern const bk_kernel bk_kernel_neon_lut, bk_kernel_neon_sdot, bk_kernel_neon_popcount;

/* The kernel's word on this process; /proc/cpuinfo may describe another machine's CPU. */
static bool has_dot_product(void) { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }

#endif

#if defined(__x86_64__)

extern const bk_kernel bk_kernel_avx512_lut, bk_kernel_avx512_popcount, bk_kernel_avx512_vnni;
extern const bk_kernel bk_kernel_avx2_lut, bk_kernel_avx2_maddubs;

/* The compiler's own check asks the operating system too: it must save the wide registers. */
static bool has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

static bool has_vnni(void) { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }

static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
}

static bool has_popcount(void) { return has_vnni() && __builtin_cpu_supports("avx512bitalg"); }

#endif

typedef struct {
    const bk_kernel *kernel;
    bool (*runs)(void);
    const char *needs;
} entry;

static const entry KERNELS[] = {
#if defined(__aarch64__)
    {&bk_kernel_neon_lut, any, "nothing"},
    {&bk_kernel_neon_sdot, has_dot_product, "dot-product instructions (asimddp)"},
    {&bk_kernel_neon_popcount, any, "nothing"},
#endif
#if defined(__x86_64__)
    {&bk_kernel_avx512_lut, has_avx512, "AVX-512 (F, BW, VL, DQ)"},
    {&bk_kernel_avx512_vnni, has_vnni, "AVX-512 with VNNI"},
    {&bk_kernel_avx512_popcount, has_popcount, "AVX-512 with BITALG and VNNI"},
    {&bk_kernel_avx2_lut, has_avx2, "AVX2 and F16C"},
    {&bk_kernel_avx2_maddubs, has_avx2, "AVX2 and F16C"},
#endif
    {&bk_kernel_scalar, any, "nothing"},
};

bool bk_cpu_kernel_at(unsigned i, bk_cpu_kernel *found) {
    if (i >= sizeof KERNELS / sizeof KERNELS[0]) return false;
    *found = (bk_cpu_kernel){KERNELS[i].kernel, KERNELS[i].runs(), KERNELS[i].needs};
    return true;
}
