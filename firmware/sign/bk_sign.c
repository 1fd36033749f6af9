/* bk_sign.c: does a signature fit, and whose is it?
 *
 * The curve is Monocypher's (firmware/sign/build.py says whence); it brings no SHA-512, which
 * Ed25519 needs, so the hash is made here and only its two steps on the curve are called.
 */
#include "bk_sign.h"

#include <string.h>

#include "bk_sha512.h"
#include "monocypher.h"

/* h = SHA-512(R, A, what was signed) mod the group's order */
static void challenge(const bk_cose *envelope, uint8_t h[32]) {
    uint8_t head[BK_COSE_HEAD_MAX], digest[64];
    bk_sha512 hash;
    bk_sha512_init(&hash);
    bk_sha512_update(&hash, envelope->signature, 32);
    bk_sha512_update(&hash, envelope->public_key, BK_COSE_KEY);
    bk_sha512_update(&hash, head, bk_cose_signed_head(envelope, head));
    bk_sha512_update(&hash, envelope->payload.p, envelope->payload.n);
    bk_sha512_final(&hash, digest);
    crypto_eddsa_reduce(h, digest);
}

bool bk_sign_verify(void *self, const bk_cose *envelope) {
    uint8_t h[32];
    (void)self;
    challenge(envelope, h);
    return crypto_eddsa_check_equation(envelope->signature, envelope->public_key, h) == 0;
}

bk_key_state bk_sign_look_up(void *self, const uint8_t key[BK_COSE_KEY]) {
    const bk_sign_table *table = self;
    bk_key_state state = BK_KEY_STRANGER;
    for (uint32_t i = 0; i < table->n_keys && state != BK_KEY_REVOKED; i++)
        if (memcmp(table->keys[i].key, key, BK_COSE_KEY) == 0)
            state = table->keys[i].revoked ? BK_KEY_REVOKED : BK_KEY_TRUSTED;
    return state;
}
