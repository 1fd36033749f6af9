/* bk_cose.h: the envelope of a signed patch: COSE_Sign1 (RFC 9052) with Ed25519 around a .bkp.
 *
 *     18([ bstr: {1: -8, 4: key id}, {}, bstr: the .bkp, bstr: signature ])
 *
 * Strict, so that no bit of a file can change without breaking its form or its signature: shortest
 * heads, both header fields protected, nothing in the unprotected map, no trailing byte. The key id
 * is the signer's public key itself. This room opens envelopes; who verifies brings the Ed25519.
 */
#ifndef BK_COSE_H
#define BK_COSE_H

#include <stdbool.h>

#include "bk_bytes.h"
#include "bk_error.h"

enum { BK_COSE_KEY = 32, BK_COSE_SIGNATURE = 64, BK_COSE_HEAD_MAX = 64 };

typedef struct {
    bk_span protected_header;   /* as signed */
    const uint8_t *public_key;  /* [32], the key id */
    bk_span payload;            /* a bare .bkp, not looked into */
    const uint8_t *signature;   /* [64] */
} bk_cose;

/* Do these bytes begin like an envelope? */
bool bk_cose_is(const uint8_t *bytes, size_t n);

/* Views into the caller's bytes. BK_ERR_TRUNCATED or BK_ERR_MALFORMED; nothing is verified. */
int bk_cose_open(const uint8_t *bytes, size_t n, bk_cose *envelope);

/* What was signed is this head, then the payload. Returns the head's bytes, at most
 * BK_COSE_HEAD_MAX. */
size_t bk_cose_signed_head(const bk_cose *envelope, uint8_t head[BK_COSE_HEAD_MAX]);

#endif
