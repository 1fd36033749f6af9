/* bk_answer.h: the answer to the last prompt, as it grows. */
#ifndef BK_ANSWER_H
#define BK_ANSWER_H

#include "bk_device_session.h"

/* Longest sentence about an answer that ended early, in bytes; 0 where none ever does. */
#ifndef BK_ANSWER_DETAIL_MAX
#define BK_ANSWER_DETAIL_MAX BK_SMP_DETAIL_MAX
#endif

typedef struct {
    const bk_device_session *session;
    bk_ticket ticket;
    uint8_t *text; /* [cap] the port's */
    size_t cap, n; /* bytes of it */
    uint32_t tokens;
    uint64_t us;
    bool done;
    int rc;        /* why it ended early, for whoever has read all there is */
    char detail[BK_ANSWER_DETAIL_MAX + 1];
} bk_answer;

void bk_answer_init(bk_answer *a, const bk_device_session *session, uint8_t *text, size_t cap);

/* Begin. BK_RC_BUSY while another prompt is being answered. */
int bk_answer_start(bk_answer *a, const char *prompt, size_t n, uint32_t max_tokens, bk_say *why);

/* The rc and sentence for what a session's begin returned about a prompt of so many tokens. */
int bk_answer_refuse_prompt(int error, uint32_t tokens, bk_say *why);

/* Take what text has come, and let the work go on; false when there is nothing to do. */
bool bk_answer_step(bk_answer *a);

/* The text from an offset on, at most cap bytes of it; or why there is no more, and the sentence. */
int bk_answer_read(bk_answer *a, uint32_t off, uint8_t *p, size_t cap, bk_smp_output *out,
                   bk_say *why);

#endif
