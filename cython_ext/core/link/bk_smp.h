/* bk_smp.h: the SMP server (docs/protocol.md): one request in, one answer out.
 *
 * Everything that a device does lies behind bk_smp_hooks. A hook returns 0, one of bk_rc, or a
 * negative bk_error, which is translated. Names that reach a hook are valid and NUL-terminated.
 * One bk_smp serves one device; the caller serialises calls when several lines reach it.
 */
#ifndef BK_SMP_H
#define BK_SMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bk_config.h"
#include "bk_name.h"
#include "bk_sha256.h"

/* An upload that was idle this long may be replaced by another. */
#ifndef BK_SMP_UPLOAD_IDLE_MS
#define BK_SMP_UPLOAD_IDLE_MS 5000
#endif

/* Longest detail sentence of an error, in bytes; one copy in bk_smp, one on the stack. */
#ifndef BK_SMP_DETAIL_MAX
#define BK_SMP_DETAIL_MAX 160
#endif

/* Bytes of stack through which a stored file is hashed. */
#ifndef BK_SMP_HASH_CHUNK
#define BK_SMP_HASH_CHUNK 256
#endif

enum {
    BK_SMP_HEADER = 8,
    BK_SMP_MIN_BUFFER = 64, /* smallest buffer for an answer that bk_smp_handle accepts */
    BK_SMP_GROUP_OS = 0,
    BK_SMP_GROUP_FS = 8,
    BK_SMP_GROUP_ENUM = 10,
    BK_SMP_GROUP_BK = 0x424B,
    BK_SMP_GROUP_NONE = -1, /* SMP's own rc, in the tables of names */
    BK_SMP_MAX_TOKENS = 64  /* of a generate that names no number */
};

/* The errors of group 0x424B: name, number, nearest relatives in group 8, for stock clients, and in
 * v1 (bk_smp_text.c names those), sentence. On the wire: numbers are only ever appended. */
/* clang-format off */
#define BK_RCS(row) \
    row(BK_RC_INTERNAL, 1, FS_UNKNOWN, UNKNOWN, "the device failed inside; its log says why") \
    row(BK_RC_NO_SUCH_PATCH, 2, FS_NOT_FOUND, NOENT, "no patch of that name is stored") \
    row(BK_RC_WRONG_MODEL, 3, FS_WRITE, INVALID, "the patch was made for another model") \
    row(BK_RC_UNBOUND, 4, FS_WRITE, INVALID, "the patch names no model") \
    row(BK_RC_BAD_CRC, 5, FS_WRITE, CORRUPT, \
        "the weights to be flipped are not those the patch was made for") \
    row(BK_RC_MALFORMED, 6, FS_WRITE, CORRUPT, "the file is not a patch, or is damaged") \
    row(BK_RC_VERSION, 7, FS_WRITE, NOTSUP, \
        "the patch has a format version that the device does not read") \
    row(BK_RC_RANGE, 8, FS_WRITE, INVALID, \
        "the patch names a layer, projection, row or bit that the model lacks") \
    row(BK_RC_BAD_NAME, 9, FS_NAME, INVALID, "a name must match [a-z0-9][a-z0-9._-]{0,31}") \
    row(BK_RC_TOO_LARGE, 10, FS_WRITE, NOMEM, "the file exceeds what the device takes") \
    row(BK_RC_NO_SPACE, 11, FS_WRITE, NOMEM, "the store is full") \
    row(BK_RC_BUSY, 12, FS_WRITE, BUSY, "the device is busy with another upload or prompt") \
    row(BK_RC_NOT_SUPPORTED, 13, FS_UNKNOWN, NOTSUP, "the device cannot do that") \
    row(BK_RC_CONTEXT, 14, FS_UNKNOWN, NOMEM, "the prompt is longer than the context") \
    row(BK_RC_IO, 15, FS_UNKNOWN, UNKNOWN, "reading or writing the store failed") \
    row(BK_RC_SIGNATURE, 16, FS_WRITE, ACCESS, "a signature is absent, wrong or not trusted") \
    row(BK_RC_CANARY, 17, FS_WRITE, STATE, "the patch failed its own probes") \
    row(BK_RC_TIMEOUT, 18, FS_UNKNOWN, TIMED_OUT, "the operation took too long") \
    row(BK_RC_BAD_ARGUMENT, 19, FS_UNKNOWN, INVALID, "an argument is missing or makes no sense") \
    row(BK_RC_BAD_OFFSET, 20, FS_OFFSET, INVALID, "an offset lies beyond the end of the file") \
    row(BK_RC_BAD_HASH, 21, FS_WRITE, CORRUPT, \
        "the bytes received do not have the hash announced") \
    row(BK_RC_HASH_TYPE, 22, FS_HASH, NOTSUP, "the device does not know that hash") \
    row(BK_RC_LIMIT, 23, FS_WRITE, NOMEM, "more patches than the device can hold active") \
    row(BK_RC_ACTIVE, 24, FS_WRITE, STATE, "the patch is active: deactivate it first") \
    row(BK_RC_NO_PREVIOUS, 25, FS_UNKNOWN, STATE, "there is no previous set to return to") \
    row(BK_RC_READ_ONLY, 26, FS_READ_ONLY, ACCESS, "the store is read-only") \
    row(BK_RC_DOWNGRADE, 27, FS_WRITE, ACCESS, "the device has had a newer patch of that name")
/* clang-format on */

#define BK_RC_NUMBER(name, number, fs, smp, text) name = number,
typedef enum { BK_RC_OK = 0, BK_RCS(BK_RC_NUMBER) BK_RC_COUNT } bk_rc;
#undef BK_RC_NUMBER

/* Name and sentence of an error of a group (0x424B, 8, 0, 10 or BK_SMP_GROUP_NONE); never NULL. */
const char *bk_rc_name(int group, int rc);
const char *bk_rc_text(int group, int rc);

/* The sentence of one of group 0x424B, for a device that shows no others. */
const char *bk_rc_own_text(int rc);

/* What a negative bk_error is called on the wire. */
bk_rc bk_rc_from_error(int error);

typedef char bk_smp_name[BK_NAME_MAX + 1]; /* NUL-terminated */

typedef struct {
    bk_smp_name name;
    uint32_t size; /* bytes */
    bool active;
} bk_smp_entry;

typedef struct {
    size_t n; /* bytes of text written */
    uint32_t tokens; /* generated so far */
    uint64_t us; /* since generate */
    bool done; /* the text ends with these bytes */
} bk_smp_output;

/* Keys and values that a hook adds to an answer; text is UTF-8, not NUL-terminated. */
typedef struct bk_smp_fields bk_smp_fields;
void bk_smp_put_uint(bk_smp_fields *f, const char *key, uint64_t v);
void bk_smp_put_int(bk_smp_fields *f, const char *key, int64_t v);
void bk_smp_put_bool(bk_smp_fields *f, const char *key, bool v);
void bk_smp_put_text(bk_smp_fields *f, const char *key, const char *text, size_t n);
void bk_smp_put_bytes(bk_smp_fields *f, const char *key, const uint8_t *p, size_t n);
/* An array of texts: begin, bk_smp_add_text for each, end. */
void bk_smp_begin_texts(bk_smp_fields *f, const char *key);
void bk_smp_add_text(bk_smp_fields *f, const char *text, size_t n);
void bk_smp_end_texts(bk_smp_fields *f);

/* What the server asks of a device; NULL where the device cannot (answered NOT_SUPPORTED). */
typedef struct {
    /* A temporary for `total` bytes, replacing any open one; then its bytes in order. finish
     * decodes, checks against the model, and renames into the store. abort drops the temporary;
     * it follows every failed write and finish. */
    int (*upload_begin)(void *self, const char *name, uint32_t total);
    int (*upload_write)(void *self, const char *name, uint32_t off, const uint8_t *p, size_t n);
    int (*upload_finish)(void *self, const char *name);
    void (*upload_abort)(void *self, const char *name);
    /* file_read fills exactly n bytes; the server never asks beyond the size. */
    int (*file_size)(void *self, const char *name, uint32_t *size);
    int (*file_read)(void *self, const char *name, uint32_t off, uint8_t *p, size_t n);
    /* NO_SUCH_PATCH after the last. */
    int (*list)(void *self, uint32_t index, bk_smp_entry *entry);
    /* The whole new set, all or nothing; names are distinct. ns: switch time. */
    int (*activate)(void *self, const bk_smp_name *names, size_t n, uint64_t *ns);
    int (*deactivate)(void *self, const bk_smp_name *names, size_t n, uint64_t *ns);
    int (*remove)(void *self, const char *name);
    int (*rollback)(void *self, uint64_t *ns);
    int (*verify)(void *self, bk_smp_fields *out);
    int (*generate)(void *self, const char *prompt, size_t n, uint32_t max_tokens);
    int (*output)(void *self, uint32_t off, uint8_t *p, size_t cap, bk_smp_output *out);
    int (*info)(void *self, bk_smp_fields *out);
    int (*bench)(void *self, bk_smp_fields *out);
    int (*reset)(void *self); /* after the answer got out */
    /* The sentence about the last hook that failed, or NULL. */
    const char *(*detail)(void *self);
    /* Local date and time as "2026-11-23T17:00:38", NUL-terminated, at most cap bytes. */
    int (*datetime)(void *self, char *text, size_t cap);
    /* Milliseconds from any origin, wrapping. NULL: any upload counts as idle. */
    uint32_t (*clock_ms)(void *self);
} bk_smp_hooks;

typedef enum { BK_UPLOAD_NONE, BK_UPLOAD_OPEN, BK_UPLOAD_DONE } bk_upload_state;

typedef struct {
    bk_upload_state state;
    uint32_t total, off; /* bytes announced; bytes received */
    uint32_t last_off; /* where the last chunk began, to know it when it is repeated */
    uint32_t touched_ms;
    int result; /* what the last chunk was answered */
    bool has_sha;
    uint8_t sha[32]; /* announced */
    bk_sha256 hash; /* of what was received */
    bk_smp_name name;
    char detail[BK_SMP_DETAIL_MAX + 1];
} bk_smp_upload;

typedef struct {
    const bk_smp_hooks *hooks;
    void *self;
    const char *about; /* the text of OS application info */
    uint32_t buf_size, buf_count;
    bk_smp_upload upload;
} bk_smp;

/* buf_size: bytes of the largest packet either way. `about` stays the caller's. */
void bk_smp_init(bk_smp *s, const bk_smp_hooks *hooks, void *self, const char *about,
                 uint32_t buf_size, uint32_t buf_count);

/* Answer one packet. Returns the answer's length, 0 to stay silent, or BK_ERR_MEMORY when cap is
 * under BK_SMP_MIN_BUFFER. An answer beyond cap becomes an error answer. req and rsp are apart. */
int bk_smp_handle(bk_smp *s, const uint8_t *req, size_t n, uint8_t *rsp, size_t cap);

/* Drop an open upload, as when its line went away. */
void bk_smp_drop_upload(bk_smp *s);

#endif
