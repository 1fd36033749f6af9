/* bk_rope.c: rotary frequencies in fixed point; no libm, no doubles, same bits everywhere. */
#include "bk_rope.h"

#include "bk_math.h"

#define LOG2_2PI_Q32 INT64_C(0x2a6c87349)
#define LN2 0.693147181f

typedef struct {
    const bk_gguf *g;
    const char *arch;
} source;

static int optional_f32(const source *from, const char *name, float *value) {
    char key[BK_GGUF_MAX_NAME + 1];
    bk_gguf_key(key, from->arch, name);
    int err = bk_gguf_f32(from->g, key, value);
    return err == BK_ERR_MISSING ? BK_OK : err;
}

static bool is_word(bk_str s, const char *word) {
    return s.n == strlen(word) && memcmp(s.p, word, s.n) == 0;
}

static int read_scaling(bk_rope *r, const source *from, uint32_t context) {
    char key[BK_GGUF_MAX_NAME + 1];
    bk_str type;
    bk_gguf_key(key, from->arch, "rope.scaling.type");
    int err = bk_gguf_str(from->g, key, &type);
    if (err == BK_ERR_MISSING || (!err && is_word(type, "none"))) return BK_OK;
    if (err) return err;
    r->yarn = is_word(type, "yarn");
    if (!r->yarn && !is_word(type, "linear")) return BK_ERR_ARCH;
    r->original = context;
    bk_gguf_key(key, from->arch, "rope.scaling.original_context_length");
    err = bk_gguf_u32(from->g, key, &r->original);
    if (err && err != BK_ERR_MISSING) return err;
    err = optional_f32(from, "rope.scaling.factor", &r->factor);
    if (!err) err = optional_f32(from, "rope.scaling.attn_factor", &r->attn_factor);
    if (!err) err = optional_f32(from, "rope.scaling.yarn_beta_fast", &r->beta_fast);
    if (!err) err = optional_f32(from, "rope.scaling.yarn_beta_slow", &r->beta_slow);
    return err;
}

static bool between(float x, float low, float high) { return x >= low && x <= high; }

int bk_rope_read(bk_rope *r, const bk_gguf *g, const char *arch, uint32_t head_dim,
                 uint32_t context) {
    const source from = {g, arch};
    *r = (bk_rope){.head_dim = head_dim,
                   .base = 10000.0f,
                   .factor = 1.0f,
                   .original = context,
                   .beta_fast = 32.0f,
                   .beta_slow = 1.0f,
                   .attn_factor = 1.0f};
    int err = optional_f32(&from, "rope.freq_base", &r->base);
    if (!err) err = read_scaling(r, &from, context);
    if (err) return err;
    /* outside these bounds the fixed-point logarithms below would not hold (NaN fails too) */
    bool sane = between(r->base, 2.0f, 1e12f) && between(r->factor, 1.0f, 1024.0f) &&
                between(r->beta_fast, 0.001f, 1e6f) && between(r->beta_slow, 0.001f, 1e6f) &&
                between(r->attn_factor, 0.001f, 1e3f) && r->original > 0;
    return sane ? BK_OK : BK_ERR_MALFORMED;
}

/* Shift-and-subtract: 64-bit division would pull in a runtime library on a Cortex-M. */
static uint64_t divide(uint64_t n, uint64_t d) {
    uint64_t quotient = 0, rest = 0;
    for (int i = 63; i >= 0; i--) {
        rest = rest << 1 | (n >> i & 1);
        if (rest >= d) {
            rest -= d;
            quotient |= UINT64_C(1) << i;
        }
    }
    return quotient;
}

/* The dimension whose wavelength fits `beta` times into the original context:
 * head_dim * log(original / (beta * 2 pi)) / (2 log base), rounded down or up, at least 0. */
static int32_t corrected_dim(const bk_rope *r, float beta, bool up) {
    int64_t log = bk_log2_q32((float)r->original) - bk_log2_q32(beta) - LOG2_2PI_Q32;
    if (log <= 0) return 0;
    uint64_t n = (uint64_t)log * r->head_dim, d = 2 * (uint64_t)bk_log2_q32(r->base);
    uint64_t q = divide(n, d);
    if (up && q * d != n) q++;
    return q > r->head_dim - 1 ? (int32_t)r->head_dim - 1 : (int32_t)q;
}

/* How much of frequency i stays unscaled: 1 below `low`, 0 above `high`, a ramp between. */
static float ramp(int32_t low, int32_t high, uint32_t i) {
    float width = high - low > 0 ? (float)(high - low) : 0.001f;
    float y = (float)((int32_t)i - low) / width;
    y = y < 0.0f ? 0.0f : y > 1.0f ? 1.0f : y;
    return 1.0f - y;
}

void bk_rope_turns(const bk_rope *r, uint64_t *turns, float *scale) {
    uint64_t log_base = (uint64_t)bk_log2_q32(r->base);
    int32_t low = r->yarn ? corrected_dim(r, r->beta_fast, false) : 0;
    int32_t high = r->yarn ? corrected_dim(r, r->beta_slow, true) : 0;
    for (uint32_t i = 0; i < r->head_dim / 2; i++) {
        uint64_t exponent = divide(2 * i * log_base, r->head_dim) + (uint64_t)LOG2_2PI_Q32;
        turns[i] = bk_exp2_neg_q64(exponent);
        if (r->factor > 1.0f) {
            float mix = r->yarn ? ramp(low, high, i) : 0.0f;
            float share = (1.0f / r->factor) * (1.0f - mix) + mix; /* in (0, 1] */
            uint32_t q31 = (uint32_t)(share * 2147483648.0f);
            turns[i] = bk_mul_q64(turns[i], (uint64_t)q31 << 32) << 1;
        }
    }
    float log_factor = LN2 * ((float)(int32_t)(bk_log2_q32(r->factor) >> 16) * (1.0f / 65536.0f));
    *scale = r->yarn ? r->attn_factor * (1.0f + 0.1f * log_factor) : 1.0f;
}

void bk_rope_angles(const uint64_t *turns, float scale, uint32_t head_dim, uint32_t position,
                    float *angles) {
    uint32_t half = head_dim / 2;
    for (uint32_t i = 0; i < half; i++) {
        float c, s;
        bk_cos_sin(turns[i] * position, &c, &s);
        angles[i] = c * scale;
        angles[half + i] = s * scale;
    }
}

void bk_rope_rotate(float *head, uint32_t head_dim, const float *angles) {
    uint32_t half = head_dim / 2;
    for (uint32_t i = 0; i < half; i++) {
        float c = angles[i], s = angles[half + i], x0 = head[i], x1 = head[half + i];
        head[i] = x0 * c - x1 * s;
        head[half + i] = x0 * s + x1 * c;
    }
}
