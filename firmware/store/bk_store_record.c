/* bk_store_record.c: heads, grains and CRCs: the bytes of a record, whatever they mean. */
#include "bk_store_log.h"

#include <string.h>

#include "bk_bytes.h"
#include "bk_crc.h"

enum { GRAIN_MIN = 8, HEAD_MIN = 16, FIELDS = 12, CRC = 4, MAGIC = 0xb1, FORMAT = 1 };

uint32_t bk_log_grain(const bk_flash *f) { return f->unit > GRAIN_MIN ? f->unit : GRAIN_MIN; }

uint32_t bk_log_head_bytes(const bk_flash *f) {
    return f->unit > GRAIN_MIN ? 2 * f->unit : HEAD_MIN;
}

uint32_t bk_log_padded(const bk_flash *f, uint32_t n) {
    uint32_t grain = bk_log_grain(f);
    return (n + grain - 1) & ~(grain - 1);
}

uint32_t bk_log_record_bytes(const bk_flash *f, uint32_t length) {
    return bk_log_head_bytes(f) + bk_log_padded(f, length) + bk_log_grain(f);
}

/* A head counts only where it was written: in this sector, since its last erase, at this place. */
static uint32_t head_crc(const bk_flash *f, const uint8_t *fields, uint32_t at,
                         uint32_t generation) {
    uint8_t place[8];
    bk_store32_le(place, generation);
    bk_store32_le(place + 4, at % f->sector_bytes);
    return bk_log_crc(bk_crc32c(bk_crc32c(0, fields, FIELDS), place, sizeof place));
}

static bool parse_head(const bk_flash *f, uint32_t at, uint32_t generation, bk_log_head *head) {
    const uint8_t *p = f->base + at;
    *head = (bk_log_head){p[1], bk_load32_le(p + 4), bk_load32_le(p + 8)};
    if (p[0] != MAGIC || p[2] != FORMAT) return false;
    if (head->type == BK_LOG_SECTOR) generation = head->number;
    return bk_load32_le(p + bk_log_head_bytes(f) - CRC) == head_crc(f, p, at, generation);
}

uint32_t bk_log_generation(const bk_flash *f, uint32_t sector) {
    bk_log_head head;
    bool ok = parse_head(f, sector * f->sector_bytes, 0, &head);
    ok = ok && head.type == BK_LOG_SECTOR && head.length == f->sector_bytes;
    return ok && head.number != UINT32_MAX ? head.number : 0;
}

bool bk_log_read_head(const bk_flash *f, uint32_t at, uint32_t generation, bk_log_head *head) {
    uint32_t left = f->sector_bytes - at % f->sector_bytes;
    if (left < bk_log_head_bytes(f) || !parse_head(f, at, generation, head)) return false;
    if (head->type != BK_LOG_PATCH && head->type != BK_LOG_STATE) return false;
    return head->length < f->sector_bytes && bk_log_record_bytes(f, head->length) <= left;
}

/* The flash is believed only once it reads back. */
static int program(const bk_flash *f, uint32_t at, const uint8_t *p, uint32_t n) {
    if (f->program(f->self, at, p, n)) return BK_RC_IO;
    return memcmp(f->base + at, p, n) ? BK_RC_IO : BK_RC_OK;
}

int bk_log_write_head(const bk_flash *f, uint32_t at, uint32_t generation, bk_log_head head) {
    uint8_t bytes[2 * 32];
    uint32_t n = bk_log_head_bytes(f);
    memset(bytes, 0xff, sizeof bytes);
    bytes[0] = MAGIC;
    bytes[1] = head.type;
    bytes[2] = FORMAT;
    bk_store32_le(bytes + 4, head.number);
    bk_store32_le(bytes + 8, head.length);
    bk_store32_le(bytes + n - CRC, head_crc(f, bytes, at, generation));
    return program(f, at, bytes, n);
}

bool bk_log_blank(const bk_flash *f, uint32_t from, uint32_t to) {
    while (from < to)
        if (f->base[from++] != 0xff) return false;
    return true;
}

int bk_log_erase(const bk_flash *f, uint32_t sector) {
    uint32_t at = sector * f->sector_bytes;
    if (f->erase(f->self, sector)) return BK_RC_IO;
    return bk_log_blank(f, at, at + f->sector_bytes) ? BK_RC_OK : BK_RC_IO;
}

void bk_log_stream_begin(bk_store_stream *t, uint32_t at) { *t = (bk_store_stream){.at = at}; }

static int flush(const bk_flash *f, bk_store_stream *t) {
    int rc = program(f, t->at, t->buf, bk_log_grain(f));
    t->at += bk_log_grain(f);
    t->fill = 0;
    return rc;
}

int bk_log_stream_put(const bk_flash *f, bk_store_stream *t, const uint8_t *p, uint32_t n) {
    uint32_t grain = bk_log_grain(f);
    int rc = BK_RC_OK;
    t->crc = bk_crc32c(t->crc, p, n);
    while (n > 0 && rc == BK_RC_OK) {
        uint32_t take = n & ~(grain - 1);
        if (t->fill == 0 && take > 0) {
            rc = program(f, t->at, p, take);
            t->at += take;
        } else {
            take = n < grain - t->fill ? n : grain - t->fill;
            memcpy(t->buf + t->fill, p, take);
            t->fill += take;
            if (t->fill == grain) rc = flush(f, t);
        }
        p += take;
        n -= take;
    }
    return rc;
}

int bk_log_stream_put32(const bk_flash *f, bk_store_stream *t, uint32_t v) {
    uint8_t bytes[4];
    bk_store32_le(bytes, v);
    return bk_log_stream_put(f, t, bytes, sizeof bytes);
}

int bk_log_stream_pad(const bk_flash *f, bk_store_stream *t) {
    if (t->fill == 0) return BK_RC_OK;
    memset(t->buf + t->fill, 0xff, bk_log_grain(f) - t->fill);
    return flush(f, t);
}
