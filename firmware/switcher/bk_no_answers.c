/* bk_no_answers.c: instead of the device's bk_answer.c and bk_health.c: nobody here answers. */
#include "bk_answer.h"
#include "bk_health.h"

void bk_answer_init(bk_answer *a, const bk_device_session *session, uint8_t *text, size_t cap) {
    (void)text, (void)cap;
    *a = (bk_answer){.session = session, .done = true};
}

int bk_answer_start(bk_answer *a, const char *prompt, size_t n, uint32_t max_tokens, bk_say *why) {
    (void)a, (void)prompt, (void)n, (void)max_tokens;
    bk_say_text(why, "there is no model here");
    return BK_RC_NOT_SUPPORTED;
}

bool bk_answer_step(bk_answer *a) {
    (void)a;
    return false;
}

int bk_answer_read(bk_answer *a, uint32_t off, uint8_t *p, size_t cap, bk_smp_output *out,
                   bk_say *why) {
    (void)a, (void)off, (void)p, (void)cap, (void)out, (void)why;
    return BK_RC_NOT_SUPPORTED;
}

void bk_health_start(bk_health *h, const bk_active *active) { *h = (bk_health){.active = active}; }

int bk_health_ask(bk_health *h, const char *name, const bk_patch *patch, bk_say *why) {
    (void)h, (void)name, (void)patch, (void)why;
    return BK_RC_OK;
}

void bk_health_note(const bk_health *h) { (void)h; }
