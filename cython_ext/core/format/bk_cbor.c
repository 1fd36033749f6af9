/* bk_cbor.c: the checks that make CBOR deterministic and zcbor leaves to its caller. */
#include "bk_cbor.h"

#include <string.h>

enum {
    FALSE_BYTE = 0xf4,
    TRUE_BYTE = 0xf5,
    NULL_BYTE = 0xf6,
    F16_BYTE = 0xf9,
    F32_BYTE = 0xfa,
    F64_BYTE = 0xfb,
    F16_NAN = 0x7e00
};

/* Bytes of the UTF-8 sequence at p (n bytes are left), 0 when it is not one. */
static size_t utf8_length(const uint8_t *p, size_t n) {
    uint32_t lead = p[0], value;
    size_t length = lead < 0x80   ? 1
                    : lead < 0xc2 ? 0
                    : lead < 0xe0 ? 2
                    : lead < 0xf0 ? 3
                    : lead < 0xf5 ? 4
                                  : 0;
    if (length == 0 || length > n) return 0;
    value = length == 1 ? lead : lead & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        value = value << 6 | (p[i] & 0x3fu);
    }
    if (length == 3 && (value < 0x800 || (value >= 0xd800 && value < 0xe000))) return 0;
    return length == 4 && (value < 0x10000 || value > 0x10ffff) ? 0 : length;
}

bool bk_cbor_text(zcbor_state_t *z, struct zcbor_string *text) {
    if (!zcbor_tstr_decode(z, text)) return false;
    for (size_t at = 0; at < text->len;) {
        size_t length = utf8_length(text->value + at, text->len - at);
        if (length == 0) return false;
        at += length;
    }
    return true;
}

/* Would a finite float lose nothing in a narrower format? Exponents are unbiased; max and min are
 * the narrower format's normal range, drop the mantissa bits it lacks, bits the wider one has. */
static bool fits_narrower(uint64_t mantissa, int exponent, int bits, int drop, int min, int max) {
    if (exponent < min) drop += min - exponent;
    if (exponent > max || drop > bits) return false;
    return (mantissa & (((uint64_t)1 << drop) - 1)) == 0;
}

static bool f32_is_shortest(uint32_t v) {
    uint32_t mantissa = v & 0x7fffff;
    int exponent = (int)(v >> 23 & 0xff);
    if (exponent == 0xff || (v & 0x7fffffff) == 0) /* infinity, NaN, zero: 16 bits do */
        return false;
    return exponent == 0 || !fits_narrower(mantissa, exponent - 127, 23, 13, -14, 15);
}

static bool f64_is_shortest(uint32_t high, uint32_t low) {
    uint64_t mantissa = (uint64_t)(high & 0xfffff) << 32 | low;
    int exponent = (int)(high >> 20 & 0x7ff);
    if (exponent == 0x7ff || ((high & 0x7fffffff) | low) == 0) return false;
    return exponent == 0 || !fits_narrower(mantissa, exponent - 1023, 52, 29, -126, 127);
}

static uint32_t load32_be(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* false, true, null, or a float in its shortest form. */
static bool simple_or_float(zcbor_state_t *z) {
    const uint8_t *p = z->payload;
    uint8_t head = *p;
    if (!zcbor_any_skip(z, NULL)) /* major type 7: a head alone, and within the bytes */
        return false;
    if (head == F16_BYTE) {
        uint32_t v = (uint32_t)p[1] << 8 | p[2];
        return (v & 0x7c00) != 0x7c00 || (v & 0x3ff) == 0 || v == F16_NAN;
    }
    if (head == F32_BYTE) return f32_is_shortest(load32_be(p + 1));
    if (head == F64_BYTE) return f64_is_shortest(load32_be(p + 1), load32_be(p + 5));
    return head == FALSE_BYTE || head == TRUE_BYTE || head == NULL_BYTE;
}

typedef struct {
    bool map, key_next;
    struct zcbor_string key; /* the previous one */
} cbor_level;

/* Encoded text keys sort by length first, then by bytes. */
static bool key_follows(const struct zcbor_string *before, const struct zcbor_string *key) {
    if (!before->value || before->len != key->len) return !before->value || before->len < key->len;
    return memcmp(before->value, key->value, key->len) < 0;
}

static bool map_key(zcbor_state_t *z, cbor_level *level) {
    struct zcbor_string key;
    if (!bk_cbor_text(z, &key) || !key_follows(&level->key, &key)) return false;
    level->key = key;
    level->key_next = false;
    return true;
}

static bool scalar(zcbor_state_t *z, zcbor_major_type_t major) {
    struct zcbor_string text;
    if (major == ZCBOR_MAJOR_TYPE_TSTR) return bk_cbor_text(z, &text);
    if (major == ZCBOR_MAJOR_TYPE_BSTR) return zcbor_bstr_decode(z, &text);
    if (major == ZCBOR_MAJOR_TYPE_SIMPLE) return simple_or_float(z);
    /* zcbor_any_skip recurses into containers and tags only; here it reads one integer */
    return major != ZCBOR_MAJOR_TYPE_TAG && zcbor_any_skip(z, NULL);
}

bool bk_cbor_any(zcbor_state_t *z) {
    cbor_level levels[BK_CBOR_DEPTH];
    uint32_t depth = 0;
    do {
        cbor_level *level = depth ? &levels[depth - 1] : NULL;
        if (level && z->elem_count == 0) {
            if (!(level->map ? zcbor_map_end_decode(z) : zcbor_list_end_decode(z))) return false;
            depth--;
            continue;
        }
        if (level && level->map && level->key_next) {
            if (!map_key(z, level)) return false;
            continue;
        }
        if (level) level->key_next = true;
        if (z->payload >= z->payload_end)
            return zcbor_any_skip(z, NULL); /* fails, and leaves zcbor's error behind */
        zcbor_major_type_t major = ZCBOR_MAJOR_TYPE(*z->payload);
        if (major != ZCBOR_MAJOR_TYPE_LIST && major != ZCBOR_MAJOR_TYPE_MAP) {
            if (!scalar(z, major)) return false;
            continue;
        }
        bool map = major == ZCBOR_MAJOR_TYPE_MAP;
        if (depth == BK_CBOR_DEPTH ||
            !(map ? zcbor_map_start_decode(z) : zcbor_list_start_decode(z)))
            return false;
        levels[depth++] = (cbor_level){.map = map, .key_next = true};
    } while (depth > 0);
    return true;
}
