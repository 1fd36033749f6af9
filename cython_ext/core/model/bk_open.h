/* bk_open.h: from a GGUF to a model, by the architecture that it names. */
#ifndef BK_OPEN_H
#define BK_OPEN_H

#include "bk_model.h"

/* Read the architecture and find every tensor; m->missing names the offender on an error. The
 * model then runs on the scalar kernel, from the file's bytes. */
int bk_model_open(bk_model *m, const bk_gguf *g);

#endif
