/* bk_measure.h: what a machine can do: read bandwidth, and one kernel's products. */
#ifndef BK_MEASURE_H
#define BK_MEASURE_H

#include "bk_kernel.h"
#include "bk_parallel.h"

/* Sum n bytes (a multiple of 64, 64-byte aligned), each part its own share `times` times; the sum
 * keeps it honest. */
uint64_t bk_measure_read(const uint8_t *bytes, size_t n, uint32_t times, const bk_parallel *par);

/* y = w act for n vectors, the rows shared out over all parts as the forward pass does. */
void bk_measure_multiply(const bk_kernel *k, const bk_mat *w, const void *act, uint32_t n, float *y,
                         const bk_parallel *par);

#endif
