/* bk_health.h: is an active set healthy? Its patches' own probes, asked of the model. */
#ifndef BK_HEALTH_H
#define BK_HEALTH_H

#include "bk_active.h"

typedef struct {
    const bk_active *active;
    uint32_t start_ms;
    uint32_t asked, all; /* probes */
} bk_health;

void bk_health_start(bk_health *h, const bk_active *active);

/* Ask a patch's probes until one fails or the time is up. BK_RC_OK, or BK_RC_CANARY and the
 * sentence. An answer is right when, white space at its ends apart, it begins with the expected
 * one and does not go on within its last word. */
int bk_health_ask(bk_health *h, const char *name, const bk_patch *patch, bk_say *why);

/* Tell the operator when there was no time for all of them. */
void bk_health_note(const bk_health *h);

#endif
