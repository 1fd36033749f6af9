/* mve_vectors.h: the vector functions for Helium (MVE) with floating point, four floats at a time.
 *
 * Each repeats bk_vector.h or bk_act.c step by step; no fused multiply-add. Unlike the FPU, Helium
 * takes and gives zero for a subnormal float, but says so in FPSCR: where it happened, the work is
 * done again in plain C.
 */
#ifndef BK_MVE_VECTORS_H
#define BK_MVE_VECTORS_H

#include <arm_mve.h>
#include <stdbool.h>

#include "bk_kernel.h"

BK_KERNEL_DECLARE_VECTORS(bk_mve)

enum { BK_MVE_IDC = 1 << 7, BK_MVE_UFC = 1 << 3 }; /* a subnormal was read, or not written */

/* What is loaded from memory after this is watched. */
static inline void bk_mve_watch(void) {
    uint32_t flags;
    __asm__ volatile("vmrs %0, fpscr\n\tbic %0, %0, %1\n\tvmsr fpscr, %0"
                     : "=&r"(flags)
                     : "i"(BK_MVE_IDC | BK_MVE_UFC)
                     : "memory");
}

/* Was a subnormal lost before x was finished, or before what is in memory was? */
static inline bool bk_mve_lost(float32x4_t *x) {
    uint32_t flags;
    __asm__ volatile("vmrs %0, fpscr" : "=r"(flags), "+w"(*x) : : "memory");
    return (flags & (BK_MVE_IDC | BK_MVE_UFC)) != 0;
}

/* VCVTB.F32.F16 of four: the lower halves of 32-bit lanes, exactly. Spelled in hexadecimal, for
 * binutils 2.40 writes any register but q0 into the instruction wrongly. */
__asm__(
    ".macro bk_vcvtb d, m\n\t"
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7\n\t.set .Lbk_q\\n, \\n\n\t.endr\n\t"
    ".inst.w 0xfe3f0e01 | .Lbk_\\d << 13 | .Lbk_\\m << 1\n\t"
    ".endm");

static inline float32x4_t bk_mve_from_f16(uint32x4_t halves) {
    float32x4_t out;
    __asm__("bk_vcvtb %q0, %q1" : "=w"(out) : "w"(halves));
    return out;
}

#endif
