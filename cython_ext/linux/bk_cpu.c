/* bk_cpu.c: CPU features from cpuid or the auxiliary vector, and which kernels run on them. */
#include "bk_cpu.h"

#include "bk_layout.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* What a row of BK_LAYOUTS may need. */
typedef struct {
    bool (*met)(void);
    const char *words;
} need;

static bool always(void) { return true; }
static const need nothing = {always, "nothing"};

#if defined(__aarch64__)
#define OWN_LAYOUTS BK_LAYOUTS_ARM

/* The kernel's word on this process; /proc/cpuinfo may describe another machine's CPU. */
static bool has_dot_product(void) { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
static const need dot_product = {has_dot_product, "dot-product instructions (asimddp)"};

#elif defined(__x86_64__)
#define OWN_LAYOUTS BK_LAYOUTS_X86

/* The compiler's own check asks the operating system too: it must save the wide registers. */
static bool has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
static const need avx512 = {has_avx512, "AVX-512 (F, BW, VL, DQ)"};

static bool has_vnni(void) { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
static const need vnni = {has_vnni, "AVX-512 with VNNI"};

static bool has_bitalg(void) { return has_vnni() && __builtin_cpu_supports("avx512bitalg"); }
static const need bitalg = {has_bitalg, "AVX-512 with BITALG and VNNI"};

static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
}
static const need avx2 = {has_avx2, "AVX2 and F16C"};

#else
#define OWN_LAYOUTS(row)
#endif

#define DECLARE(id, ...) extern const bk_kernel bk_kernel_##id;
OWN_LAYOUTS(DECLARE)

#define ROW(id, name, needs, ...) {&bk_kernel_##id, &needs},
static const struct {
    const bk_kernel *kernel;
    const need *needs;
} KERNELS[] = {OWN_LAYOUTS(ROW) BK_LAYOUTS_ANY(ROW)};

bool bk_cpu_kernel_at(unsigned i, bk_cpu_kernel *found) {
    if (i >= sizeof KERNELS / sizeof KERNELS[0]) return false;
    const need *needs = KERNELS[i].needs;
    *found = (bk_cpu_kernel){KERNELS[i].kernel, needs->met(), needs->words};
    return true;
}
