/* line.c: frames to the SMP server, typed lines to the shell. */
#include "bk_line.h"

#include "bk_console.h"
#include "bk_port.h"

enum { AT_ONCE = 64 };

void bk_line_start(bk_line *l, bk_device *device, const char *about) {
    bk_shell_init(&l->shell, device, bk_console);
    bk_smp_init(&l->smp, &bk_device_hooks, device, about, BK_SMP_BUFFER, 1);
    bk_frame_reader_init(&l->reader, l->packet, sizeof l->packet, l->typed, sizeof l->typed);
}

static int send(void *to, const uint8_t *p, size_t n) {
    (void)to;
    bk_port_write(p, n);
    return 0;
}

static void answer_packet(bk_line *l) {
    int n = bk_smp_handle(&l->smp, l->packet, l->reader.packet_n, l->answer, sizeof l->answer);
    if (n > 0) (void)bk_frame_write(l->answer, (size_t)n, BK_FRAME_LINE_LENGTH, send, NULL);
}

bool bk_line_poll(bk_line *l) {
    uint8_t bytes[AT_ONCE];
    size_t n = bk_port_read(bytes, sizeof bytes);
    for (size_t at = 0; at < n;) {
        bk_frame_event event;
        at += bk_frame_feed_bytes(&l->reader, bytes + at, n - at, &event);
        if (event == BK_FRAME_PACKET) answer_packet(l);
        if (event == BK_FRAME_LINE)
            bk_shell_answer(&l->shell, (const char *)l->typed, l->reader.line_n);
    }
    return n > 0;
}
