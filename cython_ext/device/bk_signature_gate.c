/* bk_signature_gate.c: whose patches this device takes. */
#include "bk_signature_gate.h"

#include "bk_error.h"

enum { SHOWN = 8 }; /* bytes of a key in a sentence */

const char *bk_gate_policy(const bk_trust *trust) {
    static const char *const names[] = {"open", "warn", "require"};
    return names[trust->policy];
}

/* A sentence: the patch, what is the matter, the key if it is about one, and the rest. */
static void tell(bk_say *s, const char *name, const char *what, const uint8_t *key,
                 const char *rest) {
    bk_say_text(s, name);
    bk_say_text(s, what);
    if (key) bk_say_hex(s, key, SHOWN);
    bk_say_text(s, rest);
}

/* What is wrong with a file that is not wrong in itself is the policy's to judge. */
static int complain(const bk_trust *trust, const bk_device_port *port, const char *name,
                    const char *what, const uint8_t *key, const char *rest, bk_say *why) {
    if (trust->policy == BK_POLICY_REQUIRE) {
        tell(why, name, what, key, rest);
        bk_say_text(why, ", and this device takes only what a trusted key signed");
        return BK_RC_SIGNATURE;
    }
    if (trust->policy == BK_POLICY_WARN) {
        char text[BK_SMP_DETAIL_MAX + 1];
        bk_say s;
        bk_say_start(&s, text, sizeof text);
        bk_say_text(&s, "warning: ");
        tell(&s, name, what, key, rest);
        port->log(port->self, text);
    }
    return BK_RC_OK;
}

static int refuse(const char *name, const char *what, const uint8_t *key, const char *rest,
                  bk_say *why) {
    tell(why, name, what, key, rest);
    return BK_RC_SIGNATURE;
}

int bk_gate_open(const bk_trust *trust, const bk_device_port *port, const char *name,
                 const uint8_t *file, size_t n, bk_span *payload, bk_say *why) {
    bk_cose envelope;
    *payload = (bk_span){file, n};
    if (!bk_cose_is(file, n)) return complain(trust, port, name, " is not signed", NULL, "", why);
    if (bk_cose_open(file, n, &envelope) != BK_OK)
        return refuse(name, " is in an envelope that is damaged or of another kind", NULL, "", why);
    *payload = envelope.payload;
    if (!trust->verify)
        return complain(trust, port, name, " is signed, which cannot be verified here", NULL, "",
                        why);
    const uint8_t *key = envelope.public_key;
    if (!trust->verify(trust->self, &envelope))
        return refuse(name, " is not as it was signed: its signature does not fit the key ", key,
                      "", why);
    switch (trust->look_up(trust->self, key)) {
    case BK_KEY_TRUSTED: return BK_RC_OK;
    case BK_KEY_REVOKED: return refuse(name, " is signed by ", key, ", whose key was revoked", why);
    default:
        return complain(trust, port, name, " is signed by ", key,
                        ", whom this device does not trust", why);
    }
}

int bk_gate_reopen(const uint8_t *file, size_t n, bk_span *payload) {
    bk_cose envelope = {.payload = {file, n}};
    int rc = bk_cose_is(file, n) ? bk_cose_open(file, n, &envelope) : BK_OK;
    *payload = envelope.payload;
    return rc;
}

int bk_gate_refuse_older(const bk_device_store *store, const char *name, const bk_patch *patch,
                         bk_say *why) {
    uint32_t highest;
    if (!store->sequence(store->self, name, &highest)) return BK_RC_OK;
    if (patch->has_sequence && patch->sequence >= highest) return BK_RC_OK;
    bk_say_text(why, name);
    bk_say_text(why, patch->has_sequence ? " has sequence number " : " has no sequence number");
    if (patch->has_sequence) bk_say_uint(why, patch->sequence);
    bk_say_text(why, "; ");
    bk_say_uint(why, highest);
    bk_say_text(why, " has been here");
    return BK_RC_DOWNGRADE;
}
