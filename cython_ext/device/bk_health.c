/* bk_health.c: ask the patches' own probes. */
#include "bk_health.h"

#include <string.h>

#include "bk_answer.h"
#include "bk_utf8.h"

enum { SEEN_MAX = 100 }; /* bytes of an answer that are shown */

typedef struct {
    const char *wanted; /* without white space at its ends */
    size_t n, matched;
    bool begun, decided, right;
    char seen[SEEN_MAX];
    size_t seen_n;
} reading;

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
 * space before and the next word's start. Returns what begin and poll do; `why` then has begun. */
static int read_answer(const bk_active *a, bk_str prompt, reading *r, bk_say *why) {
    const bk_device_session *s = a->session;
    bk_ticket ticket;
    bk_piece piece = {0};
    uint32_t tokens = 0;
    int rc = s->begin(s->self, prompt.p, prompt.n, (uint32_t)r->n + 2, true, &ticket, &tokens);
    if (rc) return bk_answer_refuse_prompt(rc, tokens, why);
    while (!piece.done && !r->decided) {
        s->poll(s->self, ticket, true, a->piece, a->piece_bytes, &piece, why);
        read_text(r, (const char *)a->piece, piece.n);
    }
    if (!piece.done) s->cancel(s->self, ticket);
    if (!r->decided) r->right = r->matched == r->n;
    return piece.rc;
}

static int ask(const bk_active *a, const char *name, const bk_patch *patch, uint32_t i,
               bk_say *why) {
    bk_str prompt = {"", 0}, expected = {"", 0};
    char text[BK_SMP_DETAIL_MAX + 1];
    bk_say trouble;
    bk_say_start(&trouble, text, sizeof text);
    (void)bk_patch_canary(patch, i, &prompt, &expected);
    reading r = {.wanted = expected.p, .n = expected.n};
    bk_utf8_strip(&r.wanted, &r.n);
    int rc = read_answer(a, prompt, &r, &trouble);
    if (!rc && r.right) return BK_RC_OK;
    say_which(why, name, i, patch->n_canaries, prompt);
    if (rc) {
        bk_say_text(why, ", cannot be asked: ");
        bk_say_text(why, text);
        return BK_RC_CANARY;
    }
    bk_say_text(why, ", gave ");
    bk_say_quoted(why, r.seen, r.seen_n);
    bk_say_text(why, ", not ");
    bk_say_quoted(why, r.wanted, r.n);
    return BK_RC_CANARY;
}

static uint32_t now_ms(const bk_health *h) { return h->active->port->ms(h->active->port->self); }

void bk_health_start(bk_health *h, const bk_active *active) {
    *h = (bk_health){.active = active};
    h->start_ms = now_ms(h);
}

int bk_health_ask(bk_health *h, const char *name, const bk_patch *patch, bk_say *why) {
    h->all += patch->n_canaries;
    for (uint32_t i = 0; i < patch->n_canaries; i++) {
        if (h->asked && now_ms(h) - h->start_ms >= h->active->probe_budget_ms) return BK_RC_OK;
        int rc = ask(h->active, name, patch, i, why);
        if (rc) return rc;
        h->asked++;
    }
    return BK_RC_OK;
}

void bk_health_note(const bk_health *h) {
    char text[80];
    bk_say s;
    if (h->asked == h->all) return;
    bk_say_start(&s, text, sizeof text);
    bk_say_uint(&s, h->asked);
    bk_say_text(&s, " of ");
    bk_say_uint(&s, h->all);
    bk_say_text(&s, " probes were asked in the time there is");
    h->active->port->log(h->active->port->self, text);
}
