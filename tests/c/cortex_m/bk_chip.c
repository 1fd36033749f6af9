/* bk_chip.c: bk_cpu.h for a bare chip: the kernels that the compiler's -mcpu allows. */
#include "bk_cpu.h"

extern const bk_kernel bk_kernel_dsp, bk_kernel_mve;

static const bk_kernel *const KERNELS[] = {
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)
    &bk_kernel_mve,
#endif
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)
    &bk_kernel_dsp,
#endif
    &bk_kernel_scalar,
};

bool bk_cpu_kernel_at(unsigned i, bk_cpu_kernel *entry) {
    if (i >= sizeof KERNELS / sizeof KERNELS[0]) return false;
    *entry = (bk_cpu_kernel){KERNELS[i], true, "nothing"};
    return true;
}
