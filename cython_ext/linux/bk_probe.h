/* bk_probe.h: reads many short texts and scores their answers, sharing prefixes and residuals. */
#ifndef BK_PROBE_H
#define BK_PROBE_H

#include "bk_forward.h"

/* Probes in the order of their tokens. Probe i owns at[i] .. at[i + 1] of tokens and nodes: its
 * prompt, then its answer, whose last token is predicted but not read. */
typedef struct {
    uint32_t n;
    const uint32_t *at;       /* [n + 1] */
    const int32_t *tokens;    /* [at[n]] */
    const uint32_t *nodes;    /* [at[n]] row of each position in the taps; equal prefixes share */
    const uint32_t *same;     /* [n] leading tokens that equal those of the probe before */
    const uint32_t *n_answer; /* [n] */
    const int32_t *rival;     /* [n] first token of the wrong answer, or -1 */
} bk_probes;

typedef struct {
    double *logprob; /* summed over the answer's tokens */
    double *margin;  /* smallest (right token's logit - best other) of them */
    double *gap;     /* right - rival logit of the first; 0 without a rival */
} bk_probe_scores;

/* The probes chosen[0] < chosen[1] < ... from `layer` on. from: [nodes, hidden] entering it. taps:
 * NULL, or (all probes chosen) [n_layers, tap_stride] to fill for the layers after it. logits:
 * scratch of [longest answer, vocab]. Result j is that of chosen[j]. Same bits on every CPU. */
int bk_probe_read(bk_state *s, const bk_probes *p, const uint32_t *chosen, uint32_t n_chosen,
                  uint32_t layer, const float *from, float *taps, size_t tap_stride, float *logits,
                  bk_probe_scores *out);

#endif
