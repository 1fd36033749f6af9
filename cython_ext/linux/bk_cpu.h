/* bk_cpu.h: which kernels this build holds, and which of them this CPU can run. */
#ifndef BK_CPU_H
#define BK_CPU_H

#include <stdbool.h>

#include "bk_kernel.h"

typedef struct {
    const bk_kernel *kernel;
    bool runs;          /* this CPU has the instructions */
    const char *needs;  /* what it needs, for the error sentence */
} bk_cpu_kernel;

/* Kernel i, the fastest family first; false past the end. */
bool bk_cpu_kernel_at(unsigned i, bk_cpu_kernel *entry);

#endif
