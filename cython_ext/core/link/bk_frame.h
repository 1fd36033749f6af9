/* bk_frame.h: SMP packets on a serial line, and a human's text on the same line.
 *
 * A packet travels as base64 of (length, packet, CRC-16), length counting the packet and the CRC,
 * cut into lines: 06 09 starts the first, 04 14 the others, a newline ends each. Bytes outside
 * such lines are text. A line of text may come between the lines of one packet (a device's log
 * does); a broken frame is counted, skipped, and never taken for text.
 */
#ifndef BK_FRAME_H
#define BK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BK_FRAME_LINE_LENGTH = 127, /* default bytes of a line, without its newline */
    BK_FRAME_LINE_MIN = 8,
    BK_FRAME_PACKET_MAX = 65533, /* the 16-bit length counts the CRC too */
    BK_FRAME_OVERHEAD = 2        /* bytes that a reader's buffer needs beyond a packet */
};

typedef enum {
    BK_FRAME_NONE,
    BK_FRAME_PACKET, /* packet[0 .. packet_n) is complete and its CRC is right */
    BK_FRAME_LINE    /* line[0 .. line_n) is a line of text, without its end, not empty */
} bk_frame_event;

typedef struct {
    uint8_t *packet; /* [packet_cap], the caller's; the largest packet is packet_cap - 2 */
    uint8_t *line;   /* [line_cap], the caller's */
    size_t packet_cap, line_cap;
    size_t packet_n, line_n; /* valid until the next byte is fed */
    uint32_t errors;         /* frames and over-long lines dropped */
    uint8_t state;           /* what the next byte is part of */
    uint8_t resume;          /* the state that a marker's first byte interrupted */
    uint8_t quad_n;          /* base64 characters waiting in bits */
    uint8_t pads;
    bool open;               /* a packet's first line came, its last did not */
    bool line_long;          /* the line of text overflowed: drop it at its end */
    bool reported;           /* line was handed out: the next byte of text starts a new one */
    uint32_t bits;
    size_t want;             /* bytes that the length field announced */
    size_t got;              /* bytes decoded so far, the length field included */
} bk_frame_reader;

void bk_frame_reader_init(bk_frame_reader *r, uint8_t *packet, size_t packet_cap, uint8_t *line,
                          size_t line_cap);

/* Forget a half-read frame and line; errors stay. */
void bk_frame_reader_reset(bk_frame_reader *r);

bk_frame_event bk_frame_feed(bk_frame_reader *r, uint8_t byte);

/* Feed until something is complete or the bytes end; returns how many were taken. */
size_t bk_frame_feed_bytes(bk_frame_reader *r, const uint8_t *p, size_t n, bk_frame_event *event);

/* Where an encoded packet goes; a negative result stops the encoder and is returned. */
typedef int (*bk_frame_sink)(void *to, const uint8_t *p, size_t n);

/* BK_OK, BK_ERR_ARGUMENT for a length that the framing cannot carry, or the sink's error. */
int bk_frame_write(const uint8_t *packet, size_t n, uint32_t line_length, bk_frame_sink sink,
                   void *to);

/* Bytes that bk_frame_write sends; 0 where it would refuse. */
size_t bk_frame_size(size_t n, uint32_t line_length);

#endif
