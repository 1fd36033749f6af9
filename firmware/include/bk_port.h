/* bk_port.h: what a port (ports/<chip>/) gives the firmware. The core knows nothing of it. */
#ifndef BK_PORT_H
#define BK_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bk_flash.h"
#include "bk_kernel.h"

typedef struct {
    const char *id;          /* as in boards/ */
    const uint8_t *model;    /* a GGUF; NULL: a switcher, which only stores patches */
    size_t model_bytes;
    bool writable;           /* the model lies in RAM: patches are XORed where they lie */
    const bk_kernel *kernel;
    uint8_t *memory;         /* 64-byte aligned: KV cache, activations, tokenizer, overlay */
    size_t memory_bytes;
    uint32_t ctx;            /* tokens of context */
    const bk_flash *flash;   /* where the store lives */
    uint32_t clock_hz;       /* of the core, for figures; 0: emulated, no such figure */
} bk_board;

/* Clocks, UART with its receive ring, tick, watchdog; called once, first. */
const bk_board *bk_port_start(void);

/* The UART. read: what has arrived, at most cap bytes, 0 at once when nothing has. write: waits
 * until the bytes are in the sender's hands. lost: bytes that came too fast, since the start. */
size_t bk_port_read(uint8_t *p, size_t cap);
void bk_port_write(const uint8_t *p, size_t n);
uint32_t bk_port_lost(void);

/* Sleep until an interrupt, unless bytes wait to be read. */
void bk_port_sleep(void);

uint32_t bk_port_ms(void); /* since the start, wrapping */
uint64_t bk_port_ns(void); /* the finest clock there is, from any origin */
void bk_port_feed_watchdog(void);

/* Does not return. The receive ring is lost; RAM that the port keeps through a reset is not. */
_Noreturn void bk_port_reset(void);

/* Deepest use of the stack so far, and its size, in bytes. */
size_t bk_port_stack_used(void);
size_t bk_port_stack_bytes(void);

#endif
