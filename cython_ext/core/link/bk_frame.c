#include "bk_frame.h"

#include "bk_base64.h"
#include "bk_bytes.h"
#include "bk_crc.h"
#include "bk_error.h"

enum { START_0 = 0x06, START_1 = 0x09, MORE_0 = 0x04, MORE_1 = 0x14 };

/* SKIP: the rest of a broken frame's line. */
enum { TEXT, AFTER_START_0, AFTER_MORE_0, BASE64, SKIP };

void bk_frame_reader_init(bk_frame_reader *r, uint8_t *packet, size_t packet_cap, uint8_t *line,
                          size_t line_cap) {
    memset(r, 0, sizeof *r);
    r->packet = packet;
    r->packet_cap = packet_cap;
    r->line = line;
    r->line_cap = line_cap;
}

void bk_frame_reader_reset(bk_frame_reader *r) {
    r->state = TEXT;
    r->open = r->line_long = r->reported = false;
    r->line_n = 0;
}

static void drop_frame(bk_frame_reader *r) {
    r->errors++;
    r->open = false;
    r->state = SKIP;
}

static void start_frame(bk_frame_reader *r) {
    if (r->open) r->errors++; /* the packet before was never finished */
    r->open = true;
    r->state = BASE64;
    r->want = r->got = 0;
    r->quad_n = r->pads = 0;
    r->bits = 0;
}

/* One decoded byte: the length field first, then the packet and its CRC. */
static bool take_decoded(bk_frame_reader *r, uint8_t byte) {
    if (r->got < 2) {
        r->want = r->want << 8 | byte;
        r->got++;
        return r->got < 2 || (r->want > 2 && r->want <= r->packet_cap);
    }
    if (r->got - 2 >= r->want) return false;
    r->packet[r->got - 2] = byte;
    r->got++;
    return true;
}

static bool take_quad(bk_frame_reader *r) {
    unsigned n = 3u - r->pads;
    for (unsigned i = 0; i < n; i++) {
        if (!take_decoded(r, (uint8_t)(r->bits >> (16 - 8 * i)))) return false;
    }
    r->bits = 0;
    r->quad_n = 0;
    return true;
}

static void take_base64(bk_frame_reader *r, uint8_t c) {
    int v = bk_base64_value(c);
    bool pad = v == BK_BASE64_PAD;
    /* padding ends a line: at most two, as a quad's last characters, and nothing follows */
    if (v == BK_BASE64_BAD || (pad && r->quad_n < 2) || (!pad && r->pads)) {
        drop_frame(r);
        return;
    }
    if (pad) r->pads++;
    r->bits = r->bits << 6 | (pad ? 0u : (uint32_t)v);
    if (++r->quad_n == 4 && !take_quad(r)) drop_frame(r);
}

static bk_frame_event end_of_frame_line(bk_frame_reader *r) {
    r->state = TEXT;
    if (r->quad_n) {
        drop_frame(r);
        r->state = TEXT;
        return BK_FRAME_NONE;
    }
    r->pads = 0;
    if (r->got < 2 || r->got - 2 < r->want) return BK_FRAME_NONE; /* another line follows */
    r->open = false;
    size_t n = r->want - 2;
    if (bk_load16_be(r->packet + n) != bk_crc16_xmodem(0, r->packet, n)) {
        r->errors++;
        return BK_FRAME_NONE;
    }
    r->packet_n = n;
    return BK_FRAME_PACKET;
}

static bk_frame_event take_text(bk_frame_reader *r, uint8_t byte) {
    if (r->reported) {
        r->line_n = 0;
        r->reported = false;
    }
    if (byte != '\n' && byte != '\r') {
        if (r->line_n < r->line_cap) {
            r->line[r->line_n++] = byte;
        } else {
            r->line_long = true;
        }
        return BK_FRAME_NONE;
    }
    if (r->line_long) { /* half a command is worse than none */
        r->errors++;
        r->line_long = false;
        r->line_n = 0;
    }
    r->reported = true;
    return r->line_n ? BK_FRAME_LINE : BK_FRAME_NONE;
}

/* The byte after 06 or 04. True when the two were a marker. */
static bool take_marker(bk_frame_reader *r, uint8_t byte) {
    if (r->state == AFTER_START_0 && byte == START_1) {
        start_frame(r);
        return true;
    }
    if (r->state == AFTER_MORE_0 && byte == MORE_1) {
        if (r->open) {
            r->state = BASE64;
        } else { /* its first line was lost, and was counted if it was seen at all */
            r->state = SKIP;
        }
        return true;
    }
    r->state = r->resume;
    return false;
}

bk_frame_event bk_frame_feed(bk_frame_reader *r, uint8_t byte) {
    if ((r->state == AFTER_START_0 || r->state == AFTER_MORE_0) && take_marker(r, byte)) {
        return BK_FRAME_NONE;
    }
    if (byte == START_0 || byte == MORE_0) {
        if (r->state == BASE64) drop_frame(r);
        r->resume = r->state;
        r->state = byte == START_0 ? AFTER_START_0 : AFTER_MORE_0;
        return BK_FRAME_NONE;
    }
    bool end = byte == '\n' || byte == '\r';
    if (r->state == BASE64) {
        if (end) return end_of_frame_line(r);
        take_base64(r, byte);
        return BK_FRAME_NONE;
    }
    if (r->state == SKIP) {
        if (end) r->state = TEXT;
        return BK_FRAME_NONE;
    }
    return take_text(r, byte);
}

size_t bk_frame_feed_bytes(bk_frame_reader *r, const uint8_t *p, size_t n, bk_frame_event *event) {
    *event = BK_FRAME_NONE;
    size_t i = 0;
    while (i < n && *event == BK_FRAME_NONE) *event = bk_frame_feed(r, p[i++]);
    return i;
}

/* Base64 characters that a line carries. */
static size_t line_chars(uint32_t line_length) { return (line_length - 2u) / 4u * 4u; }

static bool can_carry(size_t n, uint32_t line_length) {
    return n >= 1 && n <= BK_FRAME_PACKET_MAX && line_length >= BK_FRAME_LINE_MIN;
}

size_t bk_frame_size(size_t n, uint32_t line_length) {
    if (!can_carry(n, line_length)) return 0;
    size_t chars = (n + 4 + 2) / 3 * 4;
    size_t per_line = line_chars(line_length);
    return chars + (chars + per_line - 1) / per_line * 3;
}

/* Characters wait in buf, so that a sink sees few calls. */
typedef struct {
    bk_frame_sink sink;
    void *to;
    size_t n;
    int rc;
    uint8_t buf[64];
} writer;

static void flush(writer *w) {
    if (w->n && w->rc >= 0) w->rc = w->sink(w->to, w->buf, w->n);
    w->n = 0;
}

static uint8_t *room(writer *w, size_t n) {
    if (w->n + n > sizeof w->buf) flush(w);
    w->n += n;
    return w->buf + w->n - n;
}

static void put_marker(writer *w, bool first) {
    uint8_t *p = room(w, 2);
    p[0] = first ? START_0 : MORE_0;
    p[1] = first ? START_1 : MORE_1;
}

int bk_frame_write(const uint8_t *packet, size_t n, uint32_t line_length, bk_frame_sink sink,
                   void *to) {
    if (!can_carry(n, line_length)) return BK_ERR_ARGUMENT;
    uint8_t ends[4]; /* the length, then the CRC */
    bk_store16_be(ends, (uint16_t)(n + 2));
    bk_store16_be(ends + 2, bk_crc16_xmodem(0, packet, n));
    writer w = {.sink = sink, .to = to};
    size_t total = n + 4, at = 0;
    while (at < total && w.rc >= 0) {
        put_marker(&w, at == 0);
        for (size_t c = 0; c < line_chars(line_length) && at < total; c += 4) {
            uint8_t three[3];
            size_t m = 0;
            for (; m < 3 && at < total; m++, at++) {
                three[m] = at < 2 ? ends[at] : at - 2 < n ? packet[at - 2] : ends[at - n];
            }
            bk_base64_encode(three, m, room(&w, 4));
        }
        *room(&w, 1) = '\n';
    }
    flush(&w);
    return w.rc < 0 ? w.rc : BK_OK;
}
