/* bk_sign.c: open a signed or bare file, by the policy and the keys that were built in.
 *
 * The curve is Monocypher's (firmware/sign/build.py says whence); it brings no SHA-512, which
 * Ed25519 needs, so the hash is made here and only its two steps on the curve are called.
 */
#include "bk_sign.h"

#include <string.h>

#include "bk_cose.h"
#include "bk_error.h"
#include "bk_sha512.h"
#include "bk_smp.h"
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

static bool signature_ok(const bk_cose *envelope) {
    uint8_t h[32];
    challenge(envelope, h);
    return crypto_eddsa_check_equation(envelope->signature, envelope->public_key, h) == 0;
}

static bool in_table(const bk_sign_trust *trust, const uint8_t *key, bool revoked) {
    for (uint32_t i = 0; i < trust->n_keys; i++) {
        const bk_sign_key *k = &trust->keys[i];
        if (k->revoked == revoked && memcmp(k->key, key, sizeof k->key) == 0) return true;
    }
    return false;
}

/* What is wrong with a file that is not wrong in itself is the policy's to judge. */
static int complain(bk_sign_policy policy, const char *refused, const char *passed,
                    const char **problem) {
    if (policy == BK_SIGN_OPEN) return BK_RC_OK;
    *problem = policy == BK_SIGN_REQUIRE ? refused : passed;
    return policy == BK_SIGN_REQUIRE ? BK_RC_SIGNATURE : BK_RC_OK;
}

static int refuse(const char *why, const char **problem) {
    *problem = why;
    return BK_RC_SIGNATURE;
}

#define ONLY_TRUSTED ", and this device takes only what a trusted key signed"
#define UNSIGNED " is not signed"
#define STRANGER " is signed by a key that this device does not trust"

int bk_sign_judge(const bk_sign_trust *trust, const uint8_t *file, size_t n,
                  const uint8_t **payload, size_t *payload_n, const char **problem) {
    bk_cose envelope;
    *payload = file;
    *payload_n = n;
    *problem = NULL;
    if (!bk_cose_is(file, n))
        return complain(trust->policy, UNSIGNED ONLY_TRUSTED, UNSIGNED, problem);
    if (bk_cose_open(file, n, &envelope) != BK_OK)
        return refuse(" is in an envelope that is damaged or of another kind", problem);
    *payload = envelope.payload.p;
    *payload_n = envelope.payload.n;
    if (!signature_ok(&envelope))
        return refuse(" is not as it was signed: its signature does not fit its key", problem);
    if (in_table(trust, envelope.public_key, true))
        return refuse(" is signed by a key that was revoked", problem);
    if (in_table(trust, envelope.public_key, false)) return BK_RC_OK;
    return complain(trust->policy, STRANGER ONLY_TRUSTED, STRANGER, problem);
}

int bk_sign_open(const uint8_t *file, size_t n, const uint8_t **payload, size_t *payload_n,
                 const char **problem) {
    return bk_sign_judge(&bk_sign_built_in, file, n, payload, payload_n, problem);
}

const char *bk_sign_policy_name(void) {
    static const char *const names[] = {"open", "warn", "require"};
    return names[bk_sign_built_in.policy];
}
