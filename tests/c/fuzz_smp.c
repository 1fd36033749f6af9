/* fuzz_smp.c: arbitrary bytes through framing, CBOR and dispatch.
 *
 * An input's first byte says how the rest is read: bit 0 as a serial stream (else as packets, each
 * behind a 16-bit length), the other bits the size of the answer buffer. libFuzzer:
 * clang -fsanitize=fuzzer,address,undefined; without it (-DBK_FUZZ_FILES): runs the files named.
 */
#include <stdlib.h>

#include "bk_bytes.h"
#include "bk_frame.h"
#include "smp_device.h"

static void answer(device *d, const uint8_t *req, size_t n, size_t cap) {
    uint8_t *out = malloc(cap);
    int length = bk_smp_handle(&d->smp, req, n, out, cap);
    if (length > (int)cap) abort();
    if (length > 0 && bk_load16_be(out + 2) != length - BK_SMP_HEADER) abort();
    free(out);
    d->now_ms += 700;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    static device d;
    if (n == 0) return 0;
    dev_init(&d);
    d.file_n = 600;
    size_t cap = BK_SMP_MIN_BUFFER + (size_t)(p[0] >> 1) * 8;
    if (p[0] & 1) {
        uint8_t packet[600 + BK_FRAME_OVERHEAD], line[40];
        bk_frame_reader r;
        bk_frame_reader_init(&r, packet, sizeof packet, line, sizeof line);
        for (size_t i = 1; i < n; i++) {
            if (bk_frame_feed(&r, p[i]) == BK_FRAME_PACKET) answer(&d, r.packet, r.packet_n, cap);
        }
        return 0;
    }
    for (size_t i = 1; n - i >= 2;) {
        size_t m = bk_load16_be(p + i);
        i += 2;
        if (m > n - i) m = n - i;
        answer(&d, p + i, m, cap);
        i += m;
    }
    return 0;
}

#ifdef BK_FUZZ_FILES
#include <stdio.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        static uint8_t bytes[1 << 20];
        FILE *f = fopen(argv[i], "rb");
        if (!f) {
            perror(argv[i]);
            return 1;
        }
        size_t n = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        LLVMFuzzerTestOneInput(bytes, n);
    }
    printf("%d inputs\n", argc - 1);
    return 0;
}
#endif
