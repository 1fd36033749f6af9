/* bk_gate.h: whose patches this device takes, and that none is older than one it has had. */
#ifndef BK_GATE_H
#define BK_GATE_H

#include "bk_patch.h"
#include "bk_say.h"
#include "bk_store.h"

/* "open", "warn" or "require", as the firmware was built. */
const char *bk_gate_policy(void);

/* The bare .bkp in a file, decoded; views into the file's bytes. BK_RC_OK, or an rc and the
 * sentence: the policy forbids the file, or it is no patch. `warning` gets a sentence about a file
 * that is taken all the same. */
int bk_gate_open(const char *name, const uint8_t *file, size_t n, bk_patch *patch, bk_say *why,
                 bk_say *warning);

/* Decode a file that was opened before, whatever its signature; BK_OK or a bk_error. */
int bk_gate_reopen(const uint8_t *file, size_t n, bk_patch *patch);

/* BK_RC_DOWNGRADE for a patch older than the newest of its name that was ever here. */
int bk_gate_refuse_older(const bk_store *store, const char *name, const bk_patch *patch,
                         bk_say *why);

/* An rc and its sentence for what decoding or checking a patch returned, BK_OK included. */
int bk_gate_refusal(const char *name, const bk_patch *patch, int error, bk_say *why);

#endif
