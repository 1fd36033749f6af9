/* bk_answer.c: the answer to the last prompt. */
#include "bk_answer.h"

#include <string.h>

#include "bk_error.h"
#include "bk_utf8.h"

void bk_answer_init(bk_answer *a, const bk_device_session *session, uint8_t *text, size_t cap) {
    *a = (bk_answer){.session = session, .text = text, .cap = cap, .done = true};
}

static bool blank(const char *p, size_t n) {
    bk_utf8_strip(&p, &n);
    return n == 0;
}

static bool is_utf8(const char *p, size_t n) {
    bk_utf8 u = {0};
    uint8_t out[BK_UTF8_MAX];
    for (size_t i = 0; i < n; i++) {
        size_t m = bk_utf8_feed(&u, (uint8_t)p[i], out);
        if (m > i + 1 || memcmp(out, p + i + 1 - m, m) != 0) return false;
    }
    return bk_utf8_finish(&u, out) == 0;
}

int bk_answer_refuse_prompt(int error, uint32_t tokens, bk_say *why) {
    if (error == BK_RC_BUSY) {
        bk_say_text(why, "another prompt is being answered");
        return BK_RC_BUSY;
    }
    if (error == BK_ERR_ARGUMENT) {
        bk_say_text(why, "an empty prompt");
        return BK_RC_CONTEXT;
    }
    if (error != BK_ERR_CONTEXT) return error < 0 ? (int)bk_rc_from_error(error) : error;
    bk_say_text(why, "a prompt of ");
    if (tokens) bk_say_uint(why, tokens);
    else bk_say_text(why, "far too many");
    bk_say_text(why, " tokens");
    return BK_RC_CONTEXT;
}

int bk_answer_start(bk_answer *a, const char *prompt, size_t n, uint32_t max_tokens, bk_say *why) {
    const bk_device_session *s = a->session;
    bk_session_about about;
    uint32_t tokens = 0;
    s->about(s->self, &about);
    if (!about.runs) {
        bk_say_text(why, "there is no model here, or no memory to run it");
        return BK_RC_NOT_SUPPORTED;
    }
    if (blank(prompt, n)) {
        bk_say_text(why, "the prompt is empty");
        return BK_RC_BAD_ARGUMENT;
    }
    if (!is_utf8(prompt, n)) {
        bk_say_text(why, "the prompt is not UTF-8");
        return BK_RC_BAD_ARGUMENT;
    }
    if (!a->done) return bk_answer_refuse_prompt(BK_RC_BUSY, 0, why);
    bk_ticket ticket = 0;
    int rc = s->begin(s->self, prompt, n, max_tokens, false, &ticket, &tokens);
    if (rc) return bk_answer_refuse_prompt(rc, tokens, why);
    bk_answer_init(a, s, a->text, a->cap);
    a->ticket = ticket;
    a->done = false;
    return BK_RC_OK;
}

bool bk_answer_step(bk_answer *a) {
    bk_session_about about;
    bk_piece piece = {0};
    bk_say why;
    if (a->done) return false;
    bk_say_start(&why, a->detail, sizeof a->detail);
    a->session->poll(a->session->self, a->ticket, false, a->text + a->n, a->cap - a->n, &piece,
                     &why);
    a->n += piece.n;
    a->tokens += piece.steps;
    if (piece.steps) a->us = piece.us;
    a->rc = piece.rc;
    a->done = piece.done;
    a->session->about(a->session->self, &about);
    /* it runs out only if most of the text was no UTF-8 */
    if (!a->done && a->cap - a->n < about.room) {
        a->session->cancel(a->session->self, a->ticket);
        a->done = true;
    }
    return true;
}

int bk_answer_read(bk_answer *a, uint32_t off, uint8_t *p, size_t cap, bk_smp_output *out,
                   bk_say *why) {
    if (a->rc && off >= a->n) {
        bk_say_text(why, a->detail);
        return a->rc;
    }
    size_t n = off < a->n ? a->n - off : 0;
    bool all = n <= cap;
    if (!all) n = cap;
    if (n) memcpy(p, a->text + off, n);
    *out = (bk_smp_output){
        .n = n, .tokens = a->tokens, .us = a->us, .done = a->done && all && !a->rc};
    return BK_RC_OK;
}
