/* bk_probe.c: teacher-forced scores of short texts. Plain IEEE arithmetic and no libm, so that a
 * score has the same bits on every machine. */
#include "bk_probe.h"

#include <math.h>

#define LN2_HIGH 0x1.62e42feep-1 /* few enough bits that times an exponent is exact */
#define LN2_LOW 0x1.a39ef35793c76p-33

/* e^x for -700 < x <= 0, to 13 digits. */
static double exp_negative(double x) {
    int32_t e = (int32_t)(x * 1.4426950408889634 - 0.5);
    double r = (x - e * LN2_HIGH) - e * LN2_LOW; /* |r| <= 0.35 */
    double sum = 1.0 / 3628800;
    sum = sum * r + 1.0 / 362880;
    sum = sum * r + 1.0 / 40320;
    sum = sum * r + 1.0 / 5040;
    sum = sum * r + 1.0 / 720;
    sum = sum * r + 1.0 / 120;
    sum = sum * r + 1.0 / 24;
    sum = sum * r + 1.0 / 6;
    sum = sum * r + 0.5;
    sum = sum * r + 1.0;
    sum = sum * r + 1.0;
    uint64_t bits = (uint64_t)(1023 + e) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

enum { LANES = 8 };

/* Sum of e^(row[v] - top) over LANES partial sums, then in order. */
static double exp_sum(const float *row, uint32_t n, double top) {
    double lanes[LANES] = {0.0}, sum = 0.0;
    uint32_t v = 0;
    for (; v + LANES <= n; v += LANES)
        for (uint32_t i = 0; i < LANES; i++) {
            double x = (double)row[v + i] - top;
            lanes[i] += exp_negative(x > -600.0 ? x : -600.0);
        }
    for (; v < n; v++) sum += exp_negative((double)row[v] - top > -600.0 ? row[v] - top : -600.0);
    for (uint32_t i = 0; i < LANES; i++) sum += lanes[i];
    return sum;
}

/* log x for finite x >= 1. */
static double log_positive(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t e = (int32_t)(bits >> 52) - 1023;
    bits = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1023) << 52;
    double m;
    memcpy(&m, &bits, sizeof m); /* [1, 2) */
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    double t = (m - 1.0) / (m + 1.0), square = t * t, sum = 0.0; /* |t| <= 0.172 */
    for (int k = 23; k >= 1; k -= 2) sum = sum * square + 1.0 / k;
    return 2.0 * t * sum + e * LN2_LOW + e * LN2_HIGH;
}

static void score_row(const float *row, uint32_t vocab, int32_t right, double *logprob,
                      double *margin) {
    float other = -INFINITY, chosen = row[right];
    for (uint32_t v = 0; v < (uint32_t)right; v++) other = row[v] > other ? row[v] : other;
    for (uint32_t v = (uint32_t)right + 1; v < vocab; v++) other = row[v] > other ? row[v] : other;
    double top = chosen > other ? chosen : other;
    *logprob += (double)chosen - (log_positive(exp_sum(row, vocab, top)) + top);
    double m = (double)chosen - (double)other;
    if (m < *margin) *margin = m;
}

int bk_probe_read(bk_state *s, const bk_probes *p, const uint32_t *chosen, uint32_t n_chosen,
                  uint32_t layer, const float *from, float *taps, size_t tap_stride, float *logits,
                  bk_probe_scores *out) {
    const bk_model *m = s->model;
    uint32_t before = 0;
    s->pos = 0;
    for (uint32_t j = 0; j < n_chosen; j++) {
        uint32_t i = chosen[j], read = p->at[i + 1] - p->at[i] - 1, answer = p->n_answer[i];
        const int32_t *tokens = p->tokens + p->at[i];
        const uint32_t *nodes = p->nodes + p->at[i];
        uint32_t keep = s->pos; /* what all probes since the last one read have in common */
        for (uint32_t k = before + 1; j && k <= i; k++)
            if (p->same[k] < keep) keep = p->same[k];
        if (keep > read - answer) keep = read - answer; /* every row of logits is needed */
        before = i;
        s->pos = keep;
        if (layer)
            for (uint32_t t = keep; t < read; t++)
                memcpy(s->x + (size_t)(t - keep) * m->hidden, from + (size_t)nodes[t] * m->hidden,
                       m->hidden * sizeof(float));
        bk_resume span = {.tokens = tokens + keep,
                          .n = read - keep,
                          .layer = layer,
                          .x = s->x,
                          .n_logits = answer,
                          .logits = logits,
                          .tap_stride = tap_stride,
                          .taps = taps ? taps + (size_t)nodes[keep] * m->hidden : NULL};
        int err = bk_forward_from(s, &span);
        if (err) return err;
        double logprob = 0.0, margin = INFINITY;
        for (uint32_t a = 0; a < answer; a++)
            score_row(logits + (size_t)a * m->vocab, m->vocab, tokens[read - answer + 1 + a],
                      &logprob, &margin);
        out->logprob[j] = logprob;
        out->margin[j] = margin;
        out->gap[j] = p->rival[i] < 0
                          ? 0.0
                          : (double)logits[tokens[read - answer + 1]] - (double)logits[p->rival[i]];
    }
    return BK_OK;
}
