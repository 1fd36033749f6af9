/* main.c: start, then serve the UART between two tokens, and sleep when there is nothing to do. */
#include "bk_line.h"

static bk_device device;
static bk_line line;

int main(void) {
    bk_device_start(&device, bk_port_start());
    bk_line_start(&line, &device);
    for (;;) {
        bk_port_feed_watchdog();
        bool busy = bk_line_poll(&line);
        busy |= bk_device_step(&device);
        if (device.reset_asked) bk_port_reset();
        if (!busy) bk_port_sleep();
    }
}
