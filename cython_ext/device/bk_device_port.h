/* bk_device_port.h: what else a device needs of where it runs. */
#ifndef BK_DEVICE_PORT_H
#define BK_DEVICE_PORT_H

#include "bk_facts.h"

typedef struct {
    void *self;
    const char *version;
    uint64_t (*ns)(void *self);   /* the finest clock there is, from any origin */
    uint32_t (*ms)(void *self);   /* since the start, wrapping */
    void (*log)(void *self, const char *sentence); /* for the operator */
    void (*busy)(void *self);     /* called now and then within long work; NULL: not needed */
    /* Start anew: at once, or once the answer under way is out. It may return. */
    void (*reset)(void *self, bool at_once);
    /* What it is: "board" first, then what is to be known of it ("warnings"). */
    void (*facts)(void *self, bk_facts *facts);
    /* As bk_smp_hooks has it; NULL: there is no clock. */
    int (*datetime)(void *self, char *text, size_t cap);
} bk_device_port;

#endif
