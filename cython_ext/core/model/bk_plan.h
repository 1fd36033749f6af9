/* bk_plan.h: the memory that a model takes, told from its shape and its kernel's name alone. */
#ifndef BK_PLAN_H
#define BK_PLAN_H

#include "bk_layout.h"
#include "bk_model.h"

/* Bytes. */
typedef struct {
    uint64_t packed;    /* the kernel's own copy of every matrix; 0: it reads the file's */
    uint64_t state;     /* one conversation: the cache and all else (bk_state_bytes) */
    uint64_t cache;     /*   of it: keys and values */
    uint64_t tokenizer; /* its tables, about */
    uint64_t logits;    /* of one token */
} bk_plan;

/* `batch` tokens per step of prefill on `parts` cores. BK_ERR_ARGUMENT for what no state can be. */
int bk_plan_of(bk_plan *plan, const bk_shape *shape, const bk_layout *layout, uint32_t ctx,
               uint32_t batch, uint32_t parts);

#endif
