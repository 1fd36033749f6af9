/* dsp_vectors.h: the vector functions for a single-precision FPU and the DSP extension.
 *
 * Each repeats bk_vector.h or bk_act.c step by step. VMLA is not used: it has the same bits, but
 * costs a Cortex-M4 three cycles where VMUL and VADD take two.
 */
#ifndef BK_DSP_VECTORS_H
#define BK_DSP_VECTORS_H

#include "bk_kernel.h"

BK_KERNEL_DECLARE_VECTORS(bk_dsp)

#endif
