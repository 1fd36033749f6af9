/* bk_divide.h: 64 bits divided without the compiler's helper, which takes a small chip 700 bytes. */
#ifndef BK_DIVIDE_H
#define BK_DIVIDE_H

#include <stdint.h>

/* *n becomes the quotient; returns the rest. by: 1 to 2^31. */
uint32_t bk_divide(uint64_t *n, uint32_t by);

#endif
