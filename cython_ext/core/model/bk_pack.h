/* bk_pack.h: a model's matrices in a kernel's own layout. */
#ifndef BK_PACK_H
#define BK_PACK_H

#include "bk_model.h"
#include "bk_parallel.h"

/* Give the weights to another kernel: in its own layout in mem (64-byte aligned, bytes as told) if
 * it has one. States made before keep the old kernel and must not be used any more. */
size_t bk_model_packed_bytes(const bk_model *m, const bk_kernel *k);
int bk_model_pack(bk_model *m, const bk_kernel *k, void *mem, size_t n, const bk_parallel *par);

/* Are the packed weights what the file's give? 1 or 0; scratch holds the largest packed matrix. */
size_t bk_model_largest_pack(const bk_model *m);
int bk_model_check_pack(const bk_model *m, void *scratch, size_t n);

#endif
