/* bk_refusal.h: what a bk_error about a patch is for whoever pushed or used it: an rc, a sentence. */
#ifndef BK_REFUSAL_H
#define BK_REFUSAL_H

#include "bk_patch.h"
#include "bk_say.h"
#include "bk_smp.h"

/* The rc, and `name` with what is the matter; BK_RC_OK and nothing for BK_OK. `patch` is NULL when
 * its bytes, `payload`, could not be decoded. */
int bk_refusal(const char *name, int error, const bk_patch *patch, bk_span payload, bk_say *why);

#endif
