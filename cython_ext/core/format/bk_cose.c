/* bk_cose.c: open a COSE_Sign1 envelope strictly. */
#include "bk_cose.h"

#include <string.h>

#include "bk_bytes.h"
#include "bk_cbor.h"

enum {
    SIGN1_TAG = 18,
    SIGN1_HEAD = 0xd2,
    SIGN1_FIELDS = 4,
    HEADER_ALG = 1,
    HEADER_KEY_ID = 4,
    ALG_EDDSA = -8,
    DEPTH = 2, /* containers within one another, with zcbor's own spare */
};

bool bk_cose_is(const uint8_t *bytes, size_t n) { return n > 0 && bytes[0] == SIGN1_HEAD; }

/* {1: -8, 4: key} and nothing else. */
static bool open_header(bk_cose *envelope) {
    struct zcbor_string key;
    ZCBOR_STATE_D(z, DEPTH, envelope->protected_header.p, envelope->protected_header.n, 1, 0);
    z->constant_state->enforce_canonical = true;
    if (!zcbor_map_start_decode(z) || z->elem_count != 4 || !zcbor_uint32_expect(z, HEADER_ALG) ||
        !zcbor_int32_expect(z, ALG_EDDSA) || !zcbor_uint32_expect(z, HEADER_KEY_ID) ||
        !zcbor_bstr_decode(z, &key) || !zcbor_map_end_decode(z) || z->payload != z->payload_end ||
        key.len != BK_COSE_KEY)
        return false;
    envelope->public_key = key.value;
    return true;
}

static bool open_fields(zcbor_state_t *z, bk_cose *envelope) {
    struct zcbor_string header, payload, signature;
    if (!zcbor_tag_expect(z, SIGN1_TAG) || !zcbor_list_start_decode(z) ||
        z->elem_count != SIGN1_FIELDS || !zcbor_bstr_decode(z, &header) ||
        !zcbor_map_start_decode(z) || z->elem_count != 0 || !zcbor_map_end_decode(z) ||
        !zcbor_bstr_decode(z, &payload) || !zcbor_bstr_decode(z, &signature) ||
        !zcbor_list_end_decode(z) || z->payload != z->payload_end)
        return false;
    envelope->protected_header = (bk_span){header.value, header.len};
    envelope->payload = (bk_span){payload.value, payload.len};
    envelope->signature = signature.value;
    return payload.len > 0 && signature.len == BK_COSE_SIGNATURE;
}

int bk_cose_open(const uint8_t *bytes, size_t n, bk_cose *envelope) {
    *envelope = (bk_cose){0};
    if (n == 0) return BK_ERR_TRUNCATED;
    ZCBOR_STATE_D(z, DEPTH + 1, bytes, n, 1, 0);
    z->constant_state->enforce_canonical = true;
    if (open_fields(z, envelope) && open_header(envelope)) return BK_OK;
    *envelope = (bk_cose){0};
    return zcbor_peek_error(z) == ZCBOR_ERR_NO_PAYLOAD ? BK_ERR_TRUNCATED : BK_ERR_MALFORMED;
}

/* A byte string's head in its shortest form. */
static size_t put_bstr_head(uint8_t *at, size_t n) {
    if (n < 24) {
        at[0] = (uint8_t)(0x40 | n);
        return 1;
    }
    if (n < 0x100) {
        at[0] = 0x58;
        at[1] = (uint8_t)n;
        return 2;
    }
    if (n < 0x10000) {
        at[0] = 0x59;
        bk_store16_be(at + 1, (uint16_t)n);
        return 3;
    }
    at[0] = 0x5a;
    bk_store16_be(at + 1, (uint16_t)(n >> 16));
    bk_store16_be(at + 3, (uint16_t)n);
    return 5;
}

size_t bk_cose_signed_head(const bk_cose *envelope, uint8_t head[BK_COSE_HEAD_MAX]) {
    static const uint8_t context[] = {0x84, 0x6a, 'S', 'i', 'g', 'n', 'a', 't', 'u', 'r', 'e', '1'};
    const bk_span *header = &envelope->protected_header; /* 38 bytes, as bk_cose_open knows */
    size_t at = sizeof context;
    memcpy(head, context, sizeof context);
    at += put_bstr_head(head + at, header->n);
    memcpy(head + at, header->p, header->n);
    at += header->n;
    head[at++] = 0x40; /* no external data */
    return at + put_bstr_head(head + at, envelope->payload.n);
}
