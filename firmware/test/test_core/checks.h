/* checks.h: what the parts of this test program share. */
#ifndef CHECKS_H
#define CHECKS_H

#include "bk_port.h"

/* One line of the verdict: PASS or FAIL and the name. */
void check(const char *name, bool ok);

/* The board's memory, from the start each time: one check's memory is the next one's. */
void *take_all(size_t *bytes);

void check_bytes(const bk_board *board); /* check sums, hashes, floats */
void check_port(const bk_board *board);  /* clock, stack, memory */
void check_kernel(const bk_board *board);
void check_model(const bk_board *board); /* GGUF, tokens, logits, patches */

#endif
