/* bk_product.h: what every kind of layer is made of: products, and the vectors between them. */
#ifndef BK_PRODUCT_H
#define BK_PRODUCT_H

#include "bk_state.h"

enum { BK_PRODUCT_MAX = 3 };

/* Several projections of the same input: q, k, v or gate, up. */
typedef struct {
    const bk_state *s;
    const float *x; /* [n, cols]; quantised in s->act */
    uint32_t n, n_mats;
    const bk_mat *w[BK_PRODUCT_MAX];
    float *y[BK_PRODUCT_MAX];
    size_t stride; /* floats from one vector's results to the next's */
} bk_product;

void bk_product_run(const bk_product *p);

/* Project n quantised vectors through projections [p0, p0 + n_mats) of a layer. */
void bk_product_project(bk_state *s, uint32_t l, bk_proj p0, uint32_t n_mats, const float *x,
                        uint32_t n, float *const *y, size_t stride);

/* What happens to each token's vector between two products. */
typedef struct {
    bk_state *s;
    const bk_vec *norm; /* norm x into a first, or NULL */
    bool gated;         /* combine gate and up first */
    const float *from;  /* [n, cols] to quantise */
    uint32_t n, cols;
} bk_vectors;

void bk_vectors_prepare(const bk_vectors *p);

/* Norm the residual into s->a, and quantise it. */
void bk_vectors_prepare_normed(bk_state *s, const bk_vec *norm, uint32_t n);

void bk_vectors_add(float *x, const float *y, size_t n);

#endif
