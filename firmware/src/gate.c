/* gate.c: whose patches this device takes. */
#include "bk_gate.h"

#include <string.h>

#include "bk_cose.h"
#include "bk_error.h"
#ifdef BK_SIGN
#include "bk_sign.h"
#endif

static void sentence(bk_say *s, const char *name, const char *rest) {
    bk_say_text(s, name);
    bk_say_text(s, rest);
}

/* ---- signatures --------------------------------------------------------------------------- */

#ifdef BK_SIGN

const char *bk_gate_policy(void) { return bk_sign_policy_name(); }

static int open_envelope(const char *name, const uint8_t *file, size_t n, bk_span *payload,
                         bk_say *why, bk_say *warning) {
    const char *problem = NULL;
    int rc = bk_sign_open(file, n, &payload->p, &payload->n, &problem);
    if (problem) sentence(rc ? why : warning, name, problem);
    return rc;
}

#else /* without Ed25519: what an agent without cryptography does under the open policy */

const char *bk_gate_policy(void) { return "open"; }

static int open_envelope(const char *name, const uint8_t *file, size_t n, bk_span *payload,
                         bk_say *why, bk_say *warning) {
    (void)warning;
    *payload = (bk_span){file, n};
    if (!bk_cose_is(file, n)) return BK_RC_OK;
    bk_cose envelope;
    if (bk_cose_open(file, n, &envelope) != BK_OK) {
        sentence(why, name, " is in an envelope that is damaged or of another kind");
        return BK_RC_SIGNATURE;
    }
    *payload = envelope.payload;
    return BK_RC_OK;
}

#endif

/* ---- refusals ----------------------------------------------------------------------------- */

static void say_model(const bk_patch *patch, bk_say *why) {
    if (patch->model_id) bk_say_hex(why, patch->model_id, 8);
    else bk_say_text(why, "of another id");
}

static int refusal(const char *what, const char *name, const bk_patch *patch, int error,
                   bk_say *why) {
    if (error != BK_OK) bk_say_text(why, what);
    switch (error) {
    case BK_OK:
        return BK_RC_OK;
    case BK_ERR_TRUNCATED:
        sentence(why, name, " is truncated: it ends within a field");
        return BK_RC_MALFORMED;
    case BK_ERR_VERSION:
        sentence(why, name, " has a format version that this firmware does not read");
        return BK_RC_VERSION;
    case BK_ERR_LIMIT:
        sentence(why, name, " is too large");
        return BK_RC_LIMIT;
    case BK_ERR_PATCH_MODEL:
        sentence(why, name, " is for model ");
        say_model(patch, why);
        return BK_RC_WRONG_MODEL;
    case BK_ERR_PATCH_UNBOUND:
        sentence(why, name, " is unbound: it names no model");
        return BK_RC_UNBOUND;
    case BK_ERR_PATCH_RANGE:
        sentence(why, name, " flips a layer, row, group or bit that the model does not have");
        return BK_RC_RANGE;
    case BK_ERR_PATCH_CRC:
        sentence(why, name, " does not match the weights: the CRC of the rows it flips differs");
        return BK_RC_BAD_CRC;
    case BK_ERR_PATCH_SIGNED:
        sentence(why, name, " is signed twice");
        return BK_RC_MALFORMED;
    default:
        sentence(why, name, " is damaged or no patch");
        return BK_RC_MALFORMED;
    }
}

int bk_gate_refusal(const char *name, const bk_patch *patch, int error, bk_say *why) {
    return refusal("patch ", name, patch, error, why);
}

/* ---- files -------------------------------------------------------------------------------- */

int bk_gate_open(const char *name, const uint8_t *file, size_t n, bk_patch *patch, bk_say *why,
                 bk_say *warning) {
    bk_span payload;
    int rc = open_envelope(name, file, n, &payload, why, warning);
    if (rc) return rc;
    rc = bk_patch_parse(payload.p, payload.n, patch);
    if (rc == BK_ERR_VERSION && payload.n > 2 && payload.p[1] == 0 && payload.p[2] < 24) {
        sentence(why, name, " has format version ");
        bk_say_uint(why, payload.p[2]);
        return BK_RC_VERSION;
    }
    return refusal("", name, patch, rc, why);
}

int bk_gate_reopen(const uint8_t *file, size_t n, bk_patch *patch) {
    bk_cose envelope = {.payload = {file, n}};
    int rc = bk_cose_is(file, n) ? bk_cose_open(file, n, &envelope) : BK_OK;
    return rc ? rc : bk_patch_parse(envelope.payload.p, envelope.payload.n, patch);
}

int bk_gate_refuse_older(const bk_store *store, const char *name, const bk_patch *patch,
                         bk_say *why) {
    uint32_t highest;
    if (!bk_store_sequence(store, name, &highest)) return BK_RC_OK;
    if (patch->has_sequence && patch->sequence >= highest) return BK_RC_OK;
    sentence(why, name, patch->has_sequence ? " has sequence number " : " has no sequence number");
    if (patch->has_sequence) bk_say_uint(why, patch->sequence);
    bk_say_text(why, "; ");
    bk_say_uint(why, highest);
    bk_say_text(why, " has been here");
    return BK_RC_DOWNGRADE;
}
