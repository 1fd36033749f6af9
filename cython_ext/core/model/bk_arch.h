/* bk_arch.h: what an architecture is. Its entry stands in the table of bk_open.c. */
#ifndef BK_ARCH_H
#define BK_ARCH_H

#include "bk_state.h"

typedef struct bk_arch {
    const char *name; /* general.architecture, and what its keys begin with */

    /* Read the shape and find every tensor; m->missing names the offender on an error. */
    int (*open)(bk_model *m, const bk_gguf *g);

    /* n tokens' residual s->x [n, hidden] through layer l: the kinds of layer, each in its file. */
    void (*layer)(bk_state *s, uint32_t l, uint32_t n);
} bk_arch;

#endif
