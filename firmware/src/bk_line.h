/* bk_line.h: the one UART, on which programs send frames and humans type. */
#ifndef BK_LINE_H
#define BK_LINE_H

#include "bk_frame.h"
#include "bk_shell.h"

/* Largest packet either way, in bytes; it is in RAM twice. A patch of n bytes takes about
 * n / (BK_SMP_BUFFER - 100) round trips. */
#ifndef BK_SMP_BUFFER
#define BK_SMP_BUFFER 1024
#endif

_Static_assert(BK_SMP_BUFFER >= 768, "info with all its warnings has to fit");

/* Longest line that a human types. */
#ifndef BK_LINE_MAX
#define BK_LINE_MAX 160
#endif

typedef struct {
    bk_shell shell;
    bk_smp smp;
    bk_frame_reader reader;
    uint8_t packet[BK_SMP_BUFFER + BK_FRAME_OVERHEAD];
    uint8_t answer[BK_SMP_BUFFER];
    uint8_t typed[BK_LINE_MAX];
} bk_line;

/* `about` stays the caller's: one line that says what this is. */
void bk_line_start(bk_line *l, bk_device *device, const char *about);

/* Take what has arrived and answer it; false when nothing has. */
bool bk_line_poll(bk_line *l);

#endif
