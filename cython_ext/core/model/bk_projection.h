/* bk_projection.h: the matrices of a layer that patches reach, by their numbers (bk_proj). */
#ifndef BK_PROJECTION_H
#define BK_PROJECTION_H

#include "bk_model.h"

/* What people call it ("q_proj"), and what a GGUF does ("attn_q"). */
const char *bk_projection_name(uint32_t projection);
const char *bk_projection_tensor(uint32_t projection);

typedef struct {
    uint32_t rows, cols;
} bk_size;

bk_size bk_projection_size(const bk_shape *s, uint32_t projection);

#endif
