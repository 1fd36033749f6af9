/* bk_answer.h: the answer to the last prompt, as it grows by one token a step. */
#ifndef BK_ANSWER_H
#define BK_ANSWER_H

#include "bk_session.h"

#ifndef BK_SWITCHER

#include "bk_smp.h"

typedef struct {
    bk_session *session;
    size_t n;        /* bytes of text in session->answer */
    uint32_t tokens; /* steps that brought text */
    uint64_t start_ns;
    uint32_t us;     /* from the start to the last text */
    bool done;
    bool shown;      /* a human at the console asked */
} bk_answer;

void bk_answer_init(bk_answer *a, bk_session *session);

/* Begin; steps do the work. BK_RC_BUSY while another prompt is being answered. */
int bk_answer_start(bk_answer *a, const char *prompt, size_t n, uint32_t max_tokens, bk_say *why);

/* The sentence for what bk_talk_start returned about a prompt that cannot be asked. */
int bk_answer_refuse_prompt(int32_t tokens, bk_say *why);

/* One pass over one token, if there is something to do. */
bool bk_answer_step(bk_answer *a);

/* The text from an offset on, at most cap bytes of it. */
void bk_answer_read(const bk_answer *a, uint32_t off, uint8_t *p, size_t cap, bk_smp_output *out);

#endif
#endif
