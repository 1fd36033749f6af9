/* bk_rope.h: rotary position embedding with YaRN, as llama.cpp computes it.
 *
 * Angles are kept as turns * 2^64, so that position * angle is one wrapping multiplication and
 * exact at any position; YaRN (arXiv 2309.00071) blends each frequency between interpolated and
 * extrapolated and scales cos and sin by a magnitude factor.
 */
#ifndef BK_ROPE_H
#define BK_ROPE_H

#include <stdbool.h>

#include "bk_gguf.h"

typedef struct {
    uint32_t head_dim;
    float base;        /* rope.freq_base */
    float factor;      /* 1 / freq_scale; 1 without scaling */
    bool yarn;         /* else linear */
    uint32_t original; /* original context length (YaRN) */
    float beta_fast, beta_slow, attn_factor;
} bk_rope;

/* Read `<arch>.rope.*`; context stands in for a missing original context length. */
int bk_rope_read(bk_rope *r, const bk_gguf *g, const char *arch, uint32_t head_dim,
                 uint32_t context);

/* turns[head_dim / 2] per position; *scale multiplies cos and sin. */
void bk_rope_turns(const bk_rope *r, uint64_t *turns, float *scale);

/* angles[head_dim]: cos of each pair, then sin of each pair, at one position. */
void bk_rope_angles(const uint64_t *turns, float scale, uint32_t head_dim, uint32_t position,
                    float *angles);

/* Rotate one head: pairs (i, i + head_dim/2), the NeoX order. */
void bk_rope_rotate(float *head, uint32_t head_dim, const float *angles);

#endif
