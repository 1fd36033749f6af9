/* health.c: ask the patches' own probes. */
#include "bk_health.h"

#ifndef BK_SWITCHER

#include <string.h>

#include "bk_answer.h"
#include "bk_error.h"

enum { SEEN_MAX = 100 }; /* bytes of an answer that are shown */

typedef struct {
    const char *wanted; /* without white space at its ends */
    size_t n, matched;
    bool begun, decided, right;
    char seen[SEEN_MAX];
    size_t seen_n;
} reading;

void bk_health_start(bk_health *h) { *h = (bk_health){.start_ms = bk_port_ms()}; }

static uint32_t last_char(const char *p, size_t n) {
    size_t at = n, used;
    while (at && ((uint8_t)p[--at] & 0xc0) == 0x80) {
    }
    return n ? bk_utf8_char(p + at, n - at, &used) : 0;
}

/* One character of the answer, after the white space before it. */
static void read_char(reading *r, const char *p, size_t n) {
    if (r->matched == r->n) {
        size_t used;
        bool inside_word = r->n && bk_utf8_is_word(bk_utf8_char(p, n, &used)) &&
                           bk_utf8_is_word(last_char(r->wanted, r->n));
        r->decided = true;
        r->right = !inside_word;
    } else if (n <= r->n - r->matched && memcmp(r->wanted + r->matched, p, n) == 0) {
        r->matched += n;
    } else {
        r->decided = true;
    }
}

static void read_text(reading *r, const char *p, size_t n) {
    while (n) {
        size_t m;
        bool space = bk_utf8_is_space(bk_utf8_char(p, n, &m));
        if (r->begun || !space) {
            r->begun = true;
            if (!r->decided) read_char(r, p, m);
            if (m <= SEEN_MAX - r->seen_n) {
                memcpy(r->seen + r->seen_n, p, m);
                r->seen_n += m;
            }
        }
        p += m;
        n -= m;
    }
}

static void say_which(bk_say *why, const char *name, uint32_t i, uint32_t n, bk_str prompt) {
    bk_say_text(why, name);
    bk_say_text(why, ": probe ");
    bk_say_uint(why, i + 1);
    bk_say_text(why, " of ");
    bk_say_uint(why, n);
    bk_say_text(why, ", ");
    bk_say_quoted(why, prompt.p, prompt.n);
}

/* As much of the answer as tells right from wrong. A token is a byte at least; two more for white
 * space before and the next word's start. Returns what bk_talk_start does. */
static int32_t read_answer(bk_session *s, bk_str prompt, reading *r) {
    bk_talk *t = &s->talks[1];
    int32_t tokens = bk_talk_start(s, t, prompt.p, prompt.n, (uint32_t)r->n + 2);
    if (tokens < 0) return tokens;
    while (!t->done && !r->decided) read_text(r, (const char *)s->out, bk_talk_step(s, t, s->out));
    if (!r->decided) r->right = r->matched == r->n;
    return tokens;
}

static int ask(bk_session *s, const char *name, const bk_patch *patch, uint32_t i, bk_say *why) {
    bk_str prompt = {"", 0}, expected = {"", 0};
    (void)bk_patch_canary(patch, i, &prompt, &expected);
    reading r = {.wanted = expected.p, .n = expected.n};
    bk_utf8_strip(&r.wanted, &r.n);
    int32_t tokens = read_answer(s, prompt, &r);
    if (r.right) return BK_RC_OK;
    say_which(why, name, i, patch->n_canaries, prompt);
    if (tokens <= 0 || (uint32_t)tokens >= s->state.ctx) {
        bk_say_text(why, ", cannot be asked: ");
        bk_answer_refuse_prompt(tokens, why);
        return BK_RC_CANARY;
    }
    bk_say_text(why, ", gave ");
    bk_say_quoted(why, r.seen, r.seen_n);
    bk_say_text(why, ", not ");
    bk_say_quoted(why, r.wanted, r.n);
    return BK_RC_CANARY;
}

int bk_health_ask(bk_health *h, bk_session *s, const char *name, const bk_patch *patch,
                  bk_say *why) {
    h->all += patch->n_canaries;
    for (uint32_t i = 0; i < patch->n_canaries; i++) {
        if (h->asked && bk_port_ms() - h->start_ms >= BK_PROBE_BUDGET_MS) return BK_RC_OK;
        int rc = ask(s, name, patch, i, why);
        if (rc) return rc;
        h->asked++;
    }
    return BK_RC_OK;
}

#endif
