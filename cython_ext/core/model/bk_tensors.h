/* bk_tensors.h: what an architecture asks of a file; m->missing names what it does not get. */
#ifndef BK_TENSORS_H
#define BK_TENSORS_H

#include "bk_model.h"

/* Keep the name for the error's sentence; returns err. */
int bk_model_refuse(bk_model *m, int err, const char *name);
int bk_model_refuse_key(bk_model *m, int err, const char *key); /* without the prefix */

/* The architecture's key, prefix and all, in m->name. */
const char *bk_model_key(bk_model *m, const char *key);

/* A number from 1 to max. */
int bk_model_u32(bk_model *m, const bk_gguf *g, const char *key, uint32_t max, uint32_t *v);

int bk_model_vec(bk_model *m, const bk_gguf *g, const char *name, uint32_t n, bk_vec *v);

/* rows = 0: whatever the tensor has. */
int bk_model_mat(bk_model *m, const bk_gguf *g, const char *name, uint32_t rows, uint32_t cols,
                 bk_mat *w);

/* "blk.<layer>.<part>.weight" */
void bk_model_layer_name(char out[BK_GGUF_MAX_NAME], uint32_t layer, const char *part);

#endif
