/* main.c: put the parts together, then serve the UART between two tokens, and sleep when there is
 * nothing to do.
 */
#include <string.h>

#include "bk_console.h"
#include "bk_line.h"
#include "bk_runtime.h"
#include "bk_sign.h"
#include "bk_store_device.h"

#ifndef BK_VERSION
#define BK_VERSION "0.1.0"
#endif

static bk_device device;
static bk_line line;
static struct {
    const bk_board *board;
    char about[96];    /* what this is */
    char lacking[112]; /* why the model does not run; "" */
    char note[BK_SMP_DETAIL_MAX + 1]; /* the last one for the operator */
    bool reset_asked;
} here;

/* ---- the port ----------------------------------------------------------------------------- */

static uint64_t get_ns(void *self) {
    (void)self;
    return bk_port_ns();
}

static uint32_t get_ms(void *self) {
    (void)self;
    return bk_port_ms();
}

static void show(const char *before, const char *text) {
    bk_text_put(&bk_console, before);
    bk_text_put(&bk_console, text);
    bk_text_put(&bk_console, "\n");
}

static void note(void *self, const char *text) {
    bk_say s;
    (void)self;
    bk_say_start(&s, here.note, sizeof here.note);
    bk_say_text(&s, text);
    show("note: ", here.note);
}

static void feed(void *self) {
    (void)self;
    bk_port_feed_watchdog();
}

static void reset(void *self, bool at_once) {
    (void)self;
    if (at_once) bk_port_reset();
    here.reset_asked = true;
}

static void tell(void *self, bk_facts *f) {
    (void)self;
    bk_facts_text(f, "board", here.board->id, strlen(here.board->id));
    if (!here.lacking[0] && !here.note[0]) return;
    bk_facts_begin(f, "warnings");
    if (here.lacking[0]) bk_facts_add(f, here.lacking, strlen(here.lacking));
    if (here.note[0]) bk_facts_add(f, here.note, strlen(here.note));
    bk_facts_end(f);
}

static const bk_device_port port = {
    .version = BK_VERSION,
    .ns = get_ns,
    .ms = get_ms,
    .log = note,
    .busy = feed,
    .reset = reset,
    .facts = tell,
};

/* ---- start -------------------------------------------------------------------------------- */

static void start(void) {
    bk_device_parts parts = {
        .port = &port, .trust = &bk_trust_built_in, .probe_budget_ms = BK_PROBE_BUDGET_MS};
    bk_say lacking;
    bk_say_start(&lacking, here.lacking, sizeof here.lacking);
    here.board = bk_port_start();
    parts.store = bk_store_device_open(here.board->flash, &port);
    bk_runtime_open(&parts, here.board, &lacking);
    bk_device_init(&device, &parts);
    bk_device_about(&device, here.board->id, here.about, sizeof here.about);
    bk_device_restore(&device);
    show(here.about, "");
    if (here.lacking[0]) show(here.lacking, "");
    bk_line_start(&line, &device, here.about);
}

int main(void) {
    start();
    for (;;) {
        bk_port_feed_watchdog();
        bool busy = bk_line_poll(&line);
        busy |= bk_device_step(&device);
        (void)bk_shell_step(&line.shell);
        if (here.reset_asked) bk_port_reset();
        if (!busy) bk_port_sleep();
    }
}
