/* bk_shell.h: what a human who types on the UART gets as an answer. */
#ifndef BK_SHELL_H
#define BK_SHELL_H

#include "bk_device.h"

/* Answer one line on the console; an unknown verb is answered with a hint. */
void bk_shell_answer(bk_device *d, const char *line, size_t n);

#endif
