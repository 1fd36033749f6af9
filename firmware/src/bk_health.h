/* bk_health.h: is an active set healthy? Its patches' own probes, asked of the model. */
#ifndef BK_HEALTH_H
#define BK_HEALTH_H

#include "bk_patch.h"
#include "bk_session.h"

#ifndef BK_SWITCHER

/* For all probes of a switch together, but the first is always asked to its end: a client waits
 * two seconds for the answer. */
#ifndef BK_PROBE_BUDGET_MS
#define BK_PROBE_BUDGET_MS 1500
#endif

typedef struct {
    uint32_t start_ms;
    uint32_t asked, all; /* probes */
} bk_health;

void bk_health_start(bk_health *h);

/* Ask a patch's probes until one fails or the time is up. BK_RC_OK, or BK_RC_CANARY and the
 * sentence. An answer is right when, white space at its ends apart, it begins with the expected
 * one and does not go on within its last word. */
int bk_health_ask(bk_health *h, bk_session *s, const char *name, const bk_patch *patch,
                  bk_say *why);

#endif
#endif
