/* bk_store_log.h: how a store lies in flash; private to this folder.
 *
 * A grain is 8 bytes, or the flash's unit when that is more. A sector in use is a chain of records
 * of whole grains, each a head, `length` bytes padded with 0xff, and one grain more:
 *
 *     sector   head alone; its number is the sector's generation
 *     patch    head, name [32], bytes, padding, a grain with the CRC of name and bytes
 *     state    head, fields with their CRC, padding, a grain of zeros: the seal
 *
 * The newest state record is the whole truth: which patches there are and where, the sets, the
 * sequence numbers. Its sector is the head, where records are appended. When the head is full, the
 * first sector of the ring is erased and becomes the head: it takes over the patches of the second
 * and ends with a state record, which is what makes it count. So the first sector of the ring never
 * holds anything that is needed, and an opening that was cut short is simply begun again.
 *
 * A unit whose programming was cut short may read differently every time. Hence:
 *   - a head spans two units at least, and its CRC lies in the last;
 *   - a state counts when its CRC is right; without a seal the CRC itself may be such a unit, so a
 *     mount that finds a last state without one, or torn, writes what it has read, be it the new
 *     state or the old, anew into another sector, of a higher generation than any, before anybody
 *     sees it;
 *   - after a mount the head is appended to only if it ends with a sealed state and is blank behind
 *     it, and then one head's length further on, since the first blank unit may be such a unit.
 */
#ifndef BK_STORE_LOG_H
#define BK_STORE_LOG_H

#include "bk_store.h"

enum {
    BK_LOG_SECTOR = 1,
    BK_LOG_PATCH = 2,
    BK_LOG_STATE = 3,
    BK_LOG_NAME = 32, /* bytes of a name in flash, padded with NULs, without one when it has 32 */
    BK_LOG_SEQUENCES_MAX = 1024
};

typedef struct {
    uint8_t type;
    uint32_t number, length;
} bk_log_head;

/* What one change does to the sequence number of a name; name NULL: nothing. */
typedef struct {
    const char *name;
    bool set; /* false: forget it */
    uint32_t sequence;
} bk_log_sequence;

/* What a sector's chain of records holds. */
typedef struct {
    uint32_t state_at; /* the newest whole state record; 0: none */
    uint32_t end;      /* behind the last record */
    bool settled;      /* false: the last record is a state that may read otherwise next time */
    bool clean;        /* the last record is a sealed state, and nothing but blanks follow */
} bk_log_chain;

/* ---- bk_store_record.c ---- */

uint32_t bk_log_grain(const bk_flash *f);
uint32_t bk_log_head_bytes(const bk_flash *f);
uint32_t bk_log_padded(const bk_flash *f, uint32_t n);
uint32_t bk_log_record_bytes(const bk_flash *f, uint32_t length);
static inline uint32_t bk_log_patch_bytes(const bk_flash *f, uint32_t size) {
    return bk_log_record_bytes(f, BK_LOG_NAME + size);
}

/* The start of patch p's record. */
static inline uint32_t bk_log_patch_at(const bk_flash *f, const bk_store_patch *p) {
    return p->at - BK_LOG_NAME - bk_log_head_bytes(f);
}

/* A sector's generation, or 0 when it has no right head. */
uint32_t bk_log_generation(const bk_flash *f, uint32_t sector);

/* Read the head at `at`; false when there is none, or when its record would leave the sector. */
bool bk_log_read_head(const bk_flash *f, uint32_t at, uint32_t generation, bk_log_head *head);
int bk_log_write_head(const bk_flash *f, uint32_t at, uint32_t generation, bk_log_head head);

bool bk_log_blank(const bk_flash *f, uint32_t from, uint32_t to);
int bk_log_erase(const bk_flash *f, uint32_t sector);

/* Write bytes, in RAM, from `at` on, which is the start of a grain; then fill the last grain. */
void bk_log_stream_begin(bk_store_stream *t, uint32_t at);
int bk_log_stream_put(const bk_flash *f, bk_store_stream *t, const uint8_t *p, uint32_t n);
int bk_log_stream_put32(const bk_flash *f, bk_store_stream *t, uint32_t v);
int bk_log_stream_pad(const bk_flash *f, bk_store_stream *t);

/* A CRC as it is stored: never that of blank flash. */
static inline uint32_t bk_log_crc(uint32_t crc) { return crc == UINT32_MAX ? 0 : crc; }

/* ---- bk_store_state.c ---- */

/* Most bytes of a state record, and what a patch leaves free behind it in its sector. */
uint32_t bk_log_state_bytes_max(const bk_flash *f);
uint32_t bk_log_reserve(const bk_flash *f);

/* Bytes of the present state's record, or 0 when there would be too many sequence numbers. */
uint32_t bk_log_state_bytes(const bk_store *s, const bk_log_sequence *change);

/* Write the present state at `at` of a sector, patch i's record lying at patches_at[i]. */
int bk_log_state_write(bk_store *s, uint32_t at, uint32_t generation, const uint32_t *patches_at,
                       const bk_log_sequence *change);

/* Is this a whole state record? Its head is right. */
bool bk_log_state_ok(const bk_flash *f, uint32_t at, bk_log_head head);

/* Take over the state at `at`, without the patches that are not there any more. */
void bk_log_state_load(bk_store *s, uint32_t at);

/* Does anything need this patch? */
bool bk_log_live(const bk_store *s, const bk_store_patch *p);

/* ---- bk_store_room.c ---- */

/* Erase the first sector of the ring and make it the head; the present state is written there. */
int bk_log_advance(bk_store *s, const bk_log_sequence *change);

/* Room in the head for a patch; NO_SPACE before anything is written. */
int bk_log_make_room(bk_store *s, uint32_t size);

/* ---- bk_store_chain.c ---- */

bk_log_chain bk_log_walk(const bk_flash *f, uint32_t sector, uint32_t generation);

#endif
