/* bk_shell.h: what a human who types on a line gets as an answer. */
#ifndef BK_SHELL_H
#define BK_SHELL_H

#include "bk_device.h"

/* One line's shell. */
typedef struct {
    bk_device *device;
    bk_text_sink sink;
    bk_ticket ticket; /* of the answer that is being shown; 0: none */
    size_t shown;     /* bytes of it */
} bk_shell;

void bk_shell_init(bk_shell *s, bk_device *device, bk_text_sink sink);

/* Answer one line; an unknown verb is answered with a hint. What `ask` asks is answered by steps. */
void bk_shell_answer(bk_shell *s, const char *line, size_t n);

/* Show what has come of an answer; false when none is being shown. */
bool bk_shell_step(bk_shell *s);

#endif
