/* bk_sign.h: whom this firmware trusts: Ed25519 over the COSE envelope (format/bk_cose.h).
 *
 * Keys and policy are built in: scripts/firmware_keys.py writes bk_trust_built_in; a firmware without
 * signatures takes that of unsigned/. What is refused when: bk_signature_gate.h.
 *
 * A signature counts when R == [S]B - [h]A up to a point of low order, with S in its one canonical
 * form: the check of RFC 8032 5.1.7 with cofactor. Takes about 2.7 KB of stack.
 */
#ifndef BK_SIGN_H
#define BK_SIGN_H

#include "bk_signature_gate.h"

extern const bk_trust bk_trust_built_in;

typedef struct {
    uint8_t key[BK_COSE_KEY];
    bool revoked; /* outdoes the same key elsewhere in the table */
} bk_sign_key;

typedef struct {
    const bk_sign_key *keys; /* [n_keys] */
    uint32_t n_keys;
} bk_sign_table;

/* The callbacks of a bk_trust whose self is a bk_sign_table. */
bool bk_sign_verify(void *self, const bk_cose *envelope);
bk_key_state bk_sign_look_up(void *self, const uint8_t key[BK_COSE_KEY]);

#endif
