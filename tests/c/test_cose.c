/* test_cose.c: envelopes are opened strictly: every cut and every bent head is refused. */
#include <stdlib.h>
#include <string.h>

#include "bk_cose.h"
#include "check.h"

enum { PAYLOAD = 300, PAYLOAD_AT = 2 + 2 + 38 + 1 + 3, WHOLE = PAYLOAD_AT + PAYLOAD + 2 + 64 };

static void make(uint8_t *file) {
    static const uint8_t head[] = {0xd2, 0x84, 0x58, 38, 0xa2, 0x01, 0x27, 0x04, 0x58, 32};
    memcpy(file, head, sizeof head);
    memset(file + sizeof head, 0xab, 32);
    file[42] = 0xa0;
    file[43] = 0x59;
    file[44] = PAYLOAD >> 8;
    file[45] = PAYLOAD & 0xff;
    memset(file + PAYLOAD_AT, 0x11, PAYLOAD);
    file[PAYLOAD_AT + PAYLOAD] = 0x58;
    file[PAYLOAD_AT + PAYLOAD + 1] = 64;
    memset(file + WHOLE - 64, 0xcd, 64);
}

/* In memory that ends where the bytes do, so that the sanitizer sees a read beyond. */
static int open_exactly(const uint8_t *bytes, size_t n, bk_cose *envelope) {
    uint8_t *exact = malloc(n ? n : 1);
    memcpy(exact, bytes, n);
    int rc = bk_cose_open(exact, n, envelope);
    free(exact);
    return rc;
}

static void test_open(void) {
    uint8_t file[WHOLE], head[BK_COSE_HEAD_MAX];
    bk_cose envelope;
    make(file);
    CHECK(bk_cose_is(file, sizeof file) && !bk_cose_is(file, 0) && !bk_cose_is(file + 1, 9));
    CHECK(bk_cose_open(file, sizeof file, &envelope) == BK_OK);
    CHECK(envelope.protected_header.p == file + 4 && envelope.protected_header.n == 38);
    CHECK(envelope.public_key == file + 10);
    CHECK(envelope.payload.p == file + PAYLOAD_AT && envelope.payload.n == PAYLOAD);
    CHECK(envelope.signature == file + WHOLE - 64);
    size_t n = bk_cose_signed_head(&envelope, head);
    CHECK(n == 12 + 2 + 38 + 1 + 3);
    CHECK(memcmp(head, "\x84\x6aSignature1\x58\x26", 14) == 0);
    CHECK(memcmp(head + 14, file + 4, 38) == 0);
    CHECK(memcmp(head + 52, "\x40\x59\x01\x2c", 4) == 0);
}

static void test_lengths(void) {
    static const size_t sizes[] = {1, 23, 24, 255, 256, 65535, 65536, 0xabcdef};
    static const char *const heads[] = {"\x41",
                                        "\x57",
                                        "\x58\x18",
                                        "\x58\xff",
                                        "\x59\x01\x00",
                                        "\x59\xff\xff",
                                        "\x5a\x00\x01\x00\x00",
                                        "\x5a\x00\xab\xcd\xef"};
    static const size_t lengths[] = {1, 1, 2, 2, 3, 3, 5, 5};
    uint8_t file[WHOLE], head[BK_COSE_HEAD_MAX];
    bk_cose envelope;
    make(file);
    CHECK(bk_cose_open(file, sizeof file, &envelope) == BK_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        envelope.payload.n = sizes[i];
        size_t n = bk_cose_signed_head(&envelope, head);
        CHECK(n == 53 + lengths[i] && n <= BK_COSE_HEAD_MAX);
        CHECK(memcmp(head + 53, heads[i], lengths[i]) == 0);
    }
}

static void test_cuts(void) {
    uint8_t file[WHOLE + 1] = {0};
    bk_cose envelope;
    make(file);
    for (size_t n = 0; n < WHOLE; n++) {
        CHECK(open_exactly(file, n, &envelope) != BK_OK);
        CHECK(envelope.payload.p == NULL && envelope.public_key == NULL);
    }
    CHECK(open_exactly(file, 0, &envelope) == BK_ERR_TRUNCATED);
    CHECK(open_exactly(file, WHOLE - 1, &envelope) == BK_ERR_TRUNCATED);
    CHECK(open_exactly(file, WHOLE + 1, &envelope) == BK_ERR_MALFORMED);
}

/* No byte of the frame has a second meaning; key, payload and signature may hold anything. */
static void test_frame_bytes(void) {
    static const struct {
        size_t from, to;
    } frame[] = {{0, 10}, {42, 46}, {WHOLE - 66, WHOLE - 64}};
    uint8_t file[WHOLE];
    bk_cose envelope;
    for (size_t part = 0; part < 3; part++)
        for (size_t at = frame[part].from; at < frame[part].to; at++)
            for (unsigned value = 0; value < 256; value++) {
                make(file);
                if (value == file[at]) continue;
                file[at] = (uint8_t)value;
                CHECK(open_exactly(file, WHOLE, &envelope) != BK_OK);
            }
}

static void test_random_bytes(void) {
    uint32_t seed = 7;
    uint8_t file[WHOLE];
    bk_cose envelope;
    for (int round = 0; round < 20000; round++) {
        make(file);
        for (int i = 0; i < 3; i++) {
            seed = seed * 1664525u + 1013904223u;
            file[(seed >> 8) % 48] = (uint8_t)(seed >> 24);
        }
        (void)open_exactly(file, 1 + (seed >> 4) % WHOLE, &envelope);
    }
}

int main(void) {
    test_open();
    test_lengths();
    test_cuts();
    test_frame_bytes();
    test_random_bytes();
    return CHECK_RESULT();
}
