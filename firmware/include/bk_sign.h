/* bk_sign.h: whose patches this device takes: Ed25519 over the COSE envelope (format/bk_cose.h).
 *
 * Keys and policy are built in: firmware/scripts/firmware_keys.py writes them as the table bk_sign_built_in.
 * What is refused when is the table of docs/store.md, as bankai_edge/agent/gate.py has it:
 *
 *              trusted key   unsigned or another key   revoked key, or wrong signature or form
 *     open     taken         taken                     refused
 *     warn     taken         taken, with a problem     refused
 *     require  taken         refused                   refused
 *
 * A signature counts when R == [S]B - [h]A up to a point of low order, with S in its one canonical
 * form: the check of RFC 8032 5.1.7 with cofactor.
 */
#ifndef BK_SIGN_H
#define BK_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { BK_SIGN_OPEN, BK_SIGN_WARN, BK_SIGN_REQUIRE } bk_sign_policy;

typedef struct {
    uint8_t key[32];
    bool revoked; /* outdoes the same key elsewhere in the table */
} bk_sign_key;

typedef struct {
    bk_sign_policy policy;
    const bk_sign_key *keys; /* [n_keys] */
    uint32_t n_keys;
} bk_sign_trust;

extern const bk_sign_trust bk_sign_built_in;

/* "open", "warn" or "require", as the firmware was built. */
const char *bk_sign_policy_name(void);

/* The bare .bkp of a file, signed or not: a view into it. BK_RC_OK or BK_RC_SIGNATURE. *problem is
 * NULL, or the rest of a sentence that begins with the patch's name: of the refusal, or under
 * `warn` of what was let pass. Takes about 2.7 KB of stack for a signed file. */
int bk_sign_open(const uint8_t *file, size_t n, const uint8_t **payload, size_t *payload_n,
                 const char **problem);

/* The same with another table. */
int bk_sign_judge(const bk_sign_trust *trust, const uint8_t *file, size_t n,
                  const uint8_t **payload, size_t *payload_n, const char **problem);

#endif
