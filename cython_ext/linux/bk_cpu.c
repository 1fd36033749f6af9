/* bk_cpu.c: CPU features from cpuid or the auxiliary vector, and the list of kernels. */
#include "bk_cpu.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

static bool any(void) { return true; }

#if defined(__aarch64__)

/* The kernel's word on this process; /proc/cpuinfo may describe another machine's CPU. */
static bool has_dot_product(void) { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }

#define OWN_KERNELS(K)                                                                            \
    K(neon_lut, any, "nothing")                                                                   \
    K(neon_sdot, has_dot_product, "dot-product instructions (asimddp)")                           \
    K(neon_popcount, any, "nothing")

#elif defined(__x86_64__)

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

#define OWN_KERNELS(K)                                                                            \
    K(avx512_lut, has_avx512, "AVX-512 (F, BW, VL, DQ)")                                          \
    K(avx512_vnni, has_vnni, "AVX-512 with VNNI")                                                 \
    K(avx512_popcount, has_popcount, "AVX-512 with BITALG and VNNI")                              \
    K(avx2_lut, has_avx2, "AVX2 and F16C")                                                        \
    K(avx2_maddubs, has_avx2, "AVX2 and F16C")

#else
#define OWN_KERNELS(K)
#endif

/* In the order of preference: name, whether this CPU has what it needs, what that is. */
#define KERNELS(K) OWN_KERNELS(K) K(scalar, any, "nothing")

#define DECLARE(name, runs, needs) extern const bk_kernel bk_kernel_##name;
KERNELS(DECLARE)

static const struct {
    const bk_kernel *kernel;
    bool (*runs)(void);
    const char *needs;
} TABLE[] = {
#define ROW(name, runs, needs) {&bk_kernel_##name, runs, needs},
    KERNELS(ROW)
};

bool bk_cpu_kernel_at(unsigned i, bk_cpu_kernel *found) {
    if (i >= sizeof TABLE / sizeof TABLE[0]) return false;
    *found = (bk_cpu_kernel){TABLE[i].kernel, TABLE[i].runs(), TABLE[i].needs};
    return true;
}
