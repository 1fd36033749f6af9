/* bk_cpu.c: CPU features from cpuid or the auxiliary vector, and the list of kernels. */
#include "bk_cpu.h"

static bool any(void) { return true; }

typedef struct {
    const bk_kernel *kernel;
    bool (*runs)(void);
    const char *needs;
} entry;

static const entry KERNELS[] = {
    {&bk_kernel_scalar, any, "nothing"},
};

bool bk_cpu_kernel_at(unsigned i, bk_cpu_kernel *found) {
    if (i >= sizeof KERNELS / sizeof KERNELS[0]) return false;
    *found = (bk_cpu_kernel){KERNELS[i].kernel, KERNELS[i].runs(), KERNELS[i].needs};
    return true;
}
