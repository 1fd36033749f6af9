/* bk_signature_gate.h: whose patches this device takes, and that none is older than one it has had.
 *
 *              trusted key   unsigned or another key   revoked key, or wrong signature or form
 *     open     taken         taken                     refused
 *     warn     taken         taken, with a warning     refused
 *     require  taken         refused                   refused
 *
 * Where a port cannot verify at all, every signed file counts as signed by another key.
 */
#ifndef BK_SIGNATURE_GATE_H
#define BK_SIGNATURE_GATE_H

#include "bk_cose.h"
#include "bk_device_port.h"
#include "bk_device_store.h"
#include "bk_patch.h"
#include "bk_say.h"

typedef enum { BK_POLICY_OPEN, BK_POLICY_WARN, BK_POLICY_REQUIRE } bk_policy;
typedef enum { BK_KEY_STRANGER, BK_KEY_TRUSTED, BK_KEY_REVOKED } bk_key_state;

/* A port's keys and curve; policy and keys may change while the device runs. */
typedef struct {
    void *self;
    bk_policy policy;
    /* Does the signature fit the envelope's key and bytes? NULL: that cannot be told here. */
    bool (*verify)(void *self, const bk_cose *envelope);
    bk_key_state (*look_up)(void *self, const uint8_t key[BK_COSE_KEY]);
} bk_trust;

const char *bk_gate_policy(const bk_trust *trust); /* "open", "warn" or "require" */

/* The bare .bkp in a file: a view. BK_RC_OK, or BK_RC_SIGNATURE and the sentence. What `warn` lets
 * pass is told to the operator. */
int bk_gate_open(const bk_trust *trust, const bk_device_port *port, const char *name,
                 const uint8_t *file, size_t n, bk_span *payload, bk_say *why);

/* The same for a file that was let in before: its signature is not asked again. */
int bk_gate_reopen(const uint8_t *file, size_t n, bk_span *payload);

/* BK_RC_DOWNGRADE for a patch older than the newest of its name that was ever here. */
int bk_gate_refuse_older(const bk_device_store *store, const char *name, const bk_patch *patch,
                         bk_say *why);

#endif
