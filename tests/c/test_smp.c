/* test_smp.c: exact bytes on the wire, the upload's states, and every size of answer buffer. */
#include <stdlib.h>

#include "bk_bytes.h"
#include "bk_error.h"
#include "bk_frame.h"
#include "check.h"
#include "smp_device.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

typedef struct {
    uint8_t bytes[1024];
    size_t n;
} packet;

static void add(packet *p, const void *bytes, size_t n) {
    memcpy(p->bytes + p->n, bytes, n);
    p->n += n;
}

static packet request(uint8_t op, uint16_t group, uint8_t command, const char *body, size_t n) {
    packet p = {{(uint8_t)(op | 1 << 3)}, BK_SMP_HEADER};
    bk_store16_be(p.bytes + 2, (uint16_t)n);
    bk_store16_be(p.bytes + 4, group);
    p.bytes[6] = 0x5a;
    p.bytes[7] = command;
    add(&p, body, n);
    return p;
}

/* Answer from a buffer of exactly `cap` bytes on the heap, where the sanitizer sees its end. */
static packet ask(device *d, const packet *req, size_t cap) {
    packet rsp = {{0}, 0};
    uint8_t *in = malloc(req->n ? req->n : 1), *out = malloc(cap);
    memcpy(in, req->bytes, req->n);
    int n = bk_smp_handle(&d->smp, in, req->n, out, cap);
    CHECK(n <= (int)cap);
    if (n > 0) add(&rsp, out, (size_t)n);
    free(in);
    free(out);
    return rsp;
}

#define BODY(text) (text), sizeof(text) - 1

static bool body_is(const packet *rsp, const char *body, size_t n) {
    return rsp->n == BK_SMP_HEADER + n && memcmp(rsp->bytes + BK_SMP_HEADER, body, n) == 0;
}

static void test_echo_bytes(void) {
    static device d;
    dev_init(&d);
    packet req = request(2, 0, 0,
                         BODY("\xa1\x61"
                              "d\x62hi"));
    packet rsp = ask(&d, &req, 512);
    CHECK(memcmp(rsp.bytes, "\x0b\x00\x00\x07\x00\x00\x5a\x00", 8) == 0);
    CHECK(body_is(&rsp, BODY("\xbf\x61r\x62hi\xff")));
}

static void test_header_that_lies(void) {
    static device d;
    dev_init(&d);
    packet req = request(2, 0, 0,
                         BODY("\xa1\x61"
                              "d\x62hi"));
    for (size_t n = 0; n < req.n; n++) {
        packet cut = req;
        cut.n = n;
        packet rsp = ask(&d, &cut, 512);
        CHECK(n < 8 ? rsp.n == 0 : body_is(&rsp, BODY("\xbf\x62rc\x03\xff")));
    }
}

static packet chunk(uint32_t off, uint32_t len, const char *data, size_t n) {
    char body[200];
    size_t k = 0;
#define PUT(text) memcpy(body + k, text, sizeof(text) - 1), k += sizeof(text) - 1
    PUT("\xbf\x64name\x6a/bkp/a.bkp\x63off\x19");
    bk_store16_be((uint8_t *)body + k, (uint16_t)off), k += 2;
    if (off == 0) {
        PUT("\x63len\x19");
        bk_store16_be((uint8_t *)body + k, (uint16_t)len), k += 2;
    }
    PUT("\x66"
        "detail\xf5\x64"
        "data\x58");
    body[k++] = (char)n;
    memcpy(body + k, data, n), k += n;
    PUT("\xff");
    return request(2, 8, 0, body, k);
}

static packet send(device *d, uint32_t off, uint32_t len, const char *data, size_t n) {
    packet req = chunk(off, len, data, n);
    return ask(d, &req, 512);
}

static void test_upload_states(void) {
    static device d;
    dev_init(&d);
    packet r = send(&d, 3, 0, BODY("xyz"));
    CHECK(body_is(&r, BODY("\xbf\x63off\x00\xff")) && d.begins == 0);
    r = send(&d, 0, 6, BODY("abc"));
    CHECK(body_is(&r, BODY("\xbf\x63off\x03\xff")));
    r = send(&d, 5, 0, BODY("f"));
    CHECK(body_is(&r, BODY("\xbf\x63off\x03\xff")));
    r = send(&d, 3, 0, BODY("def"));
    CHECK(body_is(&r, BODY("\xbf\x63off\x06\xff")));
    CHECK(d.file_n == 6 && memcmp(d.file, "abcdef", 6) == 0 && d.aborts == 0);
    r = send(&d, 3, 0, BODY("def")); /* its answer was lost */
    CHECK(body_is(&r, BODY("\xbf\x63off\x06\xff")) && d.begins == 1);
    d.finish_rc = BK_ERR_PATCH_MODEL;
    r = send(&d, 0, 2, BODY("no"));
    static const char refused[] =
        "\xbf\x63"
        "err\xbf\x65group\x19\x42\x4b\x62rc\x03\xff\x66"
        "detail\x71"
        "because of a test\xff";
    CHECK(body_is(&r, BODY(refused)));
    CHECK(d.file_n == 6 && d.aborts == 1 && !d.open);
    bk_smp_drop_upload(&d.smp);
    CHECK(d.aborts == 1); /* nothing was open */
}

static void test_idle_upload_gives_way(void) {
    static device d;
    dev_init(&d);
    packet other = chunk(0, 6, BODY("abc"));
    memcpy(memchr(other.bytes + 8, '/', 100), "/bkp/b.bkp", 10);
    d.now_ms = UINT32_MAX - 10; /* the clock wraps in between */
    packet r = send(&d, 0, 6, BODY("abc"));
    d.now_ms += BK_SMP_UPLOAD_IDLE_MS - 1;
    r = ask(&d, &other, 512);
    CHECK(r.n == 29 && memcmp(r.bytes + 13, "\xbf\x65group\x19\x42\x4b\x62rc\x0c", 14) == 0);
    d.now_ms += 1;
    r = ask(&d, &other, 512);
    CHECK(body_is(&r, BODY("\xbf\x63off\x03\xff")) && d.begins == 2 && d.aborts == 1);
}

/* Whatever the buffer, the answer lies inside it and is well-formed enough to have its length. */
static void test_every_buffer_size(void) {
    static device d;
    static const struct {
        uint8_t op;
        uint16_t group;
        uint8_t command;
        const char *body;
        size_t n;
    } calls[] = {
        {2, 0, 0,
         BODY("\xa1\x61"
              "d\x78\x28"
              "0123456789012345678901234567890123456789")},
        {0, 0, 6, "", 0},
        {0, 0, 7, "", 0},
        {0, 10, 1, "", 0},
        {0, 10, 3, "", 0},
        {0, 8, 0, BODY("\xa2\x64name\x6a/bkp/a.bkp\x63off\x00")},
        {0, 8, 0, BODY("\xa2\x64name\x6a/bkp/a.bkp\x63off\x07")},
        {0, 8, 2, BODY("\xa1\x64name\x6a/bkp/a.bkp")},
        {0, 8, 3, "", 0},
        {0, 0x424B, 0, "", 0},
        {0, 0x424B, 1, "", 0},
        {2, 0x424B, 2,
         BODY("\xa1\x65names\x81\x61"
              "a")},
        {2, 0x424B, 7, BODY("\xa1\x66prompt\x61!")},
        {2, 0x424B, 7, BODY("\xa1\x66prompt\x61?")},
        {0, 0x424B, 8, "", 0},
        {0, 0x424B, 8, BODY("\xa1\x63off\x1a\xff\xff\xff\xff")},
    };
    dev_init(&d);
    d.file_n = sizeof d.file;
    for (size_t i = 0; i < LENGTH(calls); i++) {
        packet req = request(calls[i].op, calls[i].group, calls[i].command, calls[i].body,
                             calls[i].n);
        for (size_t cap = 0; cap < 700; cap++) {
            packet rsp = ask(&d, &req, cap);
            CHECK((rsp.n == 0) == (cap < BK_SMP_MIN_BUFFER));
            if (rsp.n == 0) continue;
            CHECK(bk_load16_be(rsp.bytes + 2) == rsp.n - BK_SMP_HEADER);
            CHECK(rsp.bytes[rsp.n - 1] == 0xff);
        }
    }
}

static void test_missing_hooks(void) {
    static const bk_smp_hooks none = {0};
    static device d;
    dev_init(&d);
    d.smp.hooks = &none;
    static const uint16_t ids[] = {0, 8, 10, 0x424B};
    for (size_t group = 0; group < LENGTH(ids); group++) {
        for (uint8_t command = 0; command < 12; command++) {
            for (uint8_t op = 0; op <= 2; op += 2) {
                packet req = request(
                    op, ids[group], command,
                    BODY("\xa3\x64name\x6a/bkp/a.bkp\x66prompt\x61?\x65names\x80"));
                CHECK(ask(&d, &req, 512).n > BK_SMP_HEADER);
            }
        }
    }
}

/* ---- framing ----------------------------------------------------------------------------- */

static int collect(void *to, const uint8_t *p, size_t n) {
    packet *out = to;
    add(out, p, n);
    return 0;
}

static int refuse(void *to, const uint8_t *p, size_t n) {
    (void)p, (void)n;
    ++*(int *)to;
    return -7;
}

static void test_frames(void) {
    uint8_t buf[300 + BK_FRAME_OVERHEAD], line[8], data[300];
    bk_frame_reader r;
    bk_frame_reader_init(&r, buf, sizeof buf, line, sizeof line);
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 31);
    for (size_t n = 1; n <= sizeof data; n++) {
        for (uint32_t length = 8; length < 140; length += 11) {
            packet wire = {{0}, 0};
            if (bk_frame_size(n, length) > sizeof wire.bytes) continue;
            CHECK(bk_frame_write(data, n, length, collect, &wire) == 0);
            CHECK(wire.n == bk_frame_size(n, length));
            bk_frame_event event;
            CHECK(bk_frame_feed_bytes(&r, wire.bytes, wire.n, &event) == wire.n);
            CHECK(event == BK_FRAME_PACKET && r.packet_n == n && memcmp(r.packet, data, n) == 0);
        }
    }
    CHECK(r.errors == 0);
    packet known = {{0}, 0}; /* what the Python package `smp` documents for this text */
    bk_frame_write((const uint8_t *)"Hello, world!", 13, 127, collect, &known);
    CHECK(known.n == 27 && memcmp(known.bytes,
                                  "\x06\x09"
                                  "AA9IZWxsbywgd29ybGQhet4=\n",
                                  27) == 0);
    int calls = 0;
    CHECK(bk_frame_write(data, 300, 127, refuse, &calls) == -7 && calls == 1);
    CHECK(bk_frame_write(data, 0, 127, collect, &known) == BK_ERR_ARGUMENT);
}

int main(void) {
    test_echo_bytes();
    test_header_that_lies();
    test_upload_states();
    test_idle_upload_gives_way();
    test_every_buffer_size();
    test_missing_hooks();
    test_frames();
    return CHECK_RESULT();
}
