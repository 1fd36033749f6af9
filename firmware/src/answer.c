/* answer.c: the answer to the last prompt. */
#include "bk_answer.h"

#ifndef BK_SWITCHER

#include <string.h>

#include "bk_console.h"
#include "bk_error.h"

void bk_answer_init(bk_answer *a, bk_session *session) {
    *a = (bk_answer){.session = session, .done = true};
}

static bool blank(const char *p, size_t n) {
    bk_utf8_strip(&p, &n);
    return n == 0;
}

int bk_answer_refuse_prompt(int32_t tokens, bk_say *why) {
    if (tokens == BK_ERR_ARGUMENT) {
        bk_say_text(why, "an empty prompt");
        return BK_RC_CONTEXT;
    }
    bk_say_text(why, "a prompt of ");
    if (tokens < 0) bk_say_text(why, "far too many");
    else bk_say_uint(why, (uint32_t)tokens);
    bk_say_text(why, " tokens");
    return BK_RC_CONTEXT;
}

int bk_answer_start(bk_answer *a, const char *prompt, size_t n, uint32_t max_tokens, bk_say *why) {
    bk_session *s = a->session;
    if (!s->runs) {
        bk_say_text(why, "there is no model here, or no memory to run it");
        return BK_RC_NOT_SUPPORTED;
    }
    if (blank(prompt, n)) {
        bk_say_text(why, "the prompt is empty");
        return BK_RC_BAD_ARGUMENT;
    }
    if (!a->done) {
        bk_say_text(why, "another prompt is being answered");
        return BK_RC_BUSY;
    }
    int32_t tokens = bk_talk_start(s, &s->talks[0], prompt, n, max_tokens);
    if (tokens <= 0 || (uint32_t)tokens >= s->state.ctx)
        return bk_answer_refuse_prompt(tokens, why);
    *a = (bk_answer){.session = s, .start_ns = bk_port_ns()};
    return BK_RC_OK;
}

bool bk_answer_step(bk_answer *a) {
    bk_session *s = a->session;
    if (a->done) return false;
    uint8_t *out = s->answer + a->n;
    size_t n = bk_talk_step(s, &s->talks[0], out);
    if (n) {
        a->n += n;
        a->tokens++;
        a->us = (uint32_t)((bk_port_ns() - a->start_ns) / 1000);
    }
    /* room for one token's text is kept: it runs out only if most of the text was no UTF-8 */
    a->done = s->talks[0].done || a->n + bk_talk_room(s) > s->answer_cap;
    if (a->shown) {
        bk_console_put_bytes((const char *)out, n);
        if (a->done) bk_console_put("\n");
    }
    return true;
}

void bk_answer_read(const bk_answer *a, uint32_t off, uint8_t *p, size_t cap, bk_smp_output *out) {
    size_t n = off < a->n ? a->n - off : 0;
    bool all = n <= cap;
    if (!all) n = cap;
    if (n) memcpy(p, a->session->answer + off, n);
    *out = (bk_smp_output){.n = n, .tokens = a->tokens, .us = a->us, .done = a->done && all};
}

#endif
