/* bk_console.h: text for a human on the UART; programs on the same line skip it. */
#ifndef BK_CONSOLE_H
#define BK_CONSOLE_H

#include "bk_facts.h"

extern const bk_text_sink bk_console;

#endif
