/* bk_smp_fs.c: SMP group 8: files, all of them patches at /bkp/<name>.bkp. */
#include "bk_bytes.h"
#include "bk_crc.h"
#include "bk_smp_wire.h"

/* The `name` argument as a bare name, NUL-terminated. */
static int take_name(const bk_smp_call *c, bk_smp_name name) {
    static const char prefix[] = "/bkp/", suffix[] = ".bkp";
    enum { PREFIX = sizeof prefix - 1, SUFFIX = sizeof suffix - 1 };
    struct zcbor_string path;
    if (bk_smp_arg_text(c, "name", &path) != BK_ARG_OK) return BK_SMP_INVALID;
    if (path.len <= PREFIX + SUFFIX || memcmp(path.value, prefix, PREFIX) != 0 ||
        memcmp(path.value + path.len - SUFFIX, suffix, SUFFIX) != 0) {
        return BK_RC_BAD_NAME;
    }
    size_t n = path.len - PREFIX - SUFFIX;
    if (!bk_name_ok((const char *)path.value + PREFIX, n)) return BK_RC_BAD_NAME;
    memcpy(name, path.value + PREFIX, n);
    name[n] = 0;
    return BK_RC_OK;
}

/* ---- upload ------------------------------------------------------------------------------ */

typedef struct {
    bk_smp_name name;
    uint32_t off, total;
    struct zcbor_string data;
    struct zcbor_string sha; /* len 0: none */
} chunk;

static int take_chunk(const bk_smp_call *c, chunk *k) {
    int rc = take_name(c, k->name);
    if (rc) return rc;
    if (bk_smp_arg_u32(c, "off", &k->off) != BK_ARG_OK) return BK_SMP_INVALID;
    if (bk_smp_arg_bytes(c, "data", &k->data) != BK_ARG_OK) return BK_SMP_INVALID;
    k->total = 0;
    k->sha.len = 0;
    if (k->off > 0) return BK_RC_OK;
    if (bk_smp_arg_u32(c, "len", &k->total) != BK_ARG_OK) return BK_SMP_INVALID;
    bk_arg sha = bk_smp_arg_bytes(c, "sha", &k->sha);
    if (sha == BK_ARG_BAD || (sha == BK_ARG_OK && k->sha.len != 32)) return BK_SMP_INVALID;
    return k->total ? BK_RC_OK : BK_RC_MALFORMED; /* no patch is empty */
}

void bk_smp_drop_upload(bk_smp *s) {
    if (s->upload.state == BK_UPLOAD_OPEN && s->hooks->upload_abort) {
        s->hooks->upload_abort(s->self, s->upload.name);
    }
    s->upload.state = BK_UPLOAD_NONE;
}

static int answer_off(bk_smp_call *c, uint32_t off) {
    bk_smp_put_uint(&c->out, "off", off);
    return BK_RC_OK;
}

static bool idle(const bk_smp *s) {
    return !s->hooks->clock_ms || bk_smp_now(s) - s->upload.touched_ms >= BK_SMP_UPLOAD_IDLE_MS;
}

static bool same_name(const bk_smp_upload *u, const chunk *k) {
    return u->state != BK_UPLOAD_NONE && bk_name_order(u->name, k->name) == 0;
}

/* What a first chunk does to the upload that is open. */
typedef enum { REPLACE, RESUME, REFUSE } verdict;

static verdict judge_first(const bk_smp *s, const chunk *k) {
    const bk_smp_upload *u = &s->upload;
    if (u->state != BK_UPLOAD_OPEN) return REPLACE;
    bool both = u->has_sha && k->sha.len;
    bool same = both && memcmp(u->sha, k->sha.value, 32) == 0;
    if (same_name(u, k) && same && u->total == k->total) return RESUME;
    /* a stock client sends no hash: its first chunk means to start over */
    if (same_name(u, k) && !both) return REPLACE;
    return idle(s) ? REPLACE : REFUSE;
}

static int open_upload(bk_smp_call *c, const chunk *k) {
    bk_smp *s = c->s;
    bk_smp_upload *u = &s->upload;
    bk_smp_drop_upload(s);
    int rc = s->hooks->upload_begin(s->self, k->name, k->total);
    if (rc) return bk_smp_hook_failed(c, rc);
    memcpy(u->name, k->name, sizeof u->name);
    u->state = BK_UPLOAD_OPEN;
    u->total = k->total;
    u->off = 0;
    u->detail[0] = 0;
    u->has_sha = k->sha.len != 0;
    if (u->has_sha) memcpy(u->sha, k->sha.value, 32);
    bk_sha256_init(&u->hash);
    return BK_RC_OK;
}

static bool hash_matches(bk_smp_upload *u) {
    uint8_t digest[32];
    if (!u->has_sha) return true;
    bk_sha256_final(&u->hash, digest);
    return memcmp(digest, u->sha, 32) == 0;
}

/* All bytes came: let the device check and keep them; remember the answer for a repeat. */
static int finish_upload(bk_smp_call *c) {
    bk_smp *s = c->s;
    bk_smp_upload *u = &s->upload;
    int rc = BK_RC_BAD_HASH;
    if (hash_matches(u)) {
        rc = s->hooks->upload_finish(s->self, u->name);
        if (rc) rc = bk_smp_hook_failed(c, rc);
    }
    if (rc && c->detail) {
        size_t n = bk_smp_detail_n(c->detail);
        memcpy(u->detail, c->detail, n);
        u->detail[n] = 0;
        c->detail = u->detail;
    }
    if (rc) bk_smp_drop_upload(s);
    u->state = BK_UPLOAD_DONE;
    u->result = rc;
    return rc ? rc : answer_off(c, u->total);
}

static int store_chunk(bk_smp_call *c, const chunk *k) {
    bk_smp *s = c->s;
    bk_smp_upload *u = &s->upload;
    if (k->data.len > u->total - u->off) return BK_RC_BAD_OFFSET;
    if (k->data.len) {
        int rc = s->hooks->upload_write(s->self, u->name, u->off, k->data.value, k->data.len);
        if (rc) {
            rc = bk_smp_hook_failed(c, rc);
            bk_smp_drop_upload(s);
            return rc;
        }
        if (u->has_sha) bk_sha256_update(&u->hash, k->data.value, k->data.len);
        u->last_off = u->off;
        u->off += (uint32_t)k->data.len;
    }
    return u->off == u->total ? finish_upload(c) : answer_off(c, u->off);
}

static int upload(bk_smp_call *c) {
    bk_smp *s = c->s;
    bk_smp_upload *u = &s->upload;
    if (!s->hooks->upload_begin || !s->hooks->upload_write || !s->hooks->upload_finish) {
        return BK_SMP_NOT_SUPPORTED;
    }
    chunk k;
    int rc = take_chunk(c, &k);
    if (rc) return rc;
    if (k.off == 0) {
        verdict v = judge_first(s, &k);
        if (v == REFUSE) return BK_RC_BUSY;
        if (v == REPLACE && (rc = open_upload(c, &k)) != BK_RC_OK) return rc;
    } else if (same_name(u, &k) && u->state == BK_UPLOAD_DONE && k.off == u->last_off) {
        c->detail = u->detail; /* the last chunk again: its answer was lost */
        return u->result ? u->result : answer_off(c, u->total);
    } else if (!same_name(u, &k) || u->state != BK_UPLOAD_OPEN) {
        return answer_off(c, 0);
    }
    u->touched_ms = bk_smp_now(s);
    if (k.off != u->off) return answer_off(c, u->off);
    return store_chunk(c, &k);
}

static int close_files(bk_smp_call *c) {
    bk_smp_drop_upload(c->s);
    return BK_RC_OK;
}

/* ---- reading ----------------------------------------------------------------------------- */

static int take_file(bk_smp_call *c, bk_smp_name name, uint32_t *size) {
    if (!c->s->hooks->file_size || !c->s->hooks->file_read) return BK_SMP_NOT_SUPPORTED;
    int rc = take_name(c, name);
    if (rc) return rc;
    rc = c->s->hooks->file_size(c->s->self, name, size);
    return rc ? bk_smp_hook_failed(c, rc) : BK_RC_OK;
}

static int download(bk_smp_call *c) {
    bk_smp_name name;
    uint32_t size, off;
    int rc = take_file(c, name, &size);
    if (rc) return rc;
    if (bk_smp_arg_u32(c, "off", &off) != BK_ARG_OK) return BK_SMP_INVALID;
    if (off > size) return BK_RC_BAD_OFFSET;
    bk_smp_put_uint(&c->out, "off", off);
    if (off == 0) bk_smp_put_uint(&c->out, "len", size);
    enum { KEY_AND_HEAD = 5 + 5 };
    size_t room = bk_smp_room(c), n = size - off;
    if (room <= KEY_AND_HEAD) return BK_SMP_MSG_SIZE;
    if (n > room - KEY_AND_HEAD) n = room - KEY_AND_HEAD;
    /* read into the end of the answer's own buffer; encoding moves it down to its place */
    uint8_t *tail = c->out.z->payload_mut + (room - n);
    if (n && (rc = c->s->hooks->file_read(c->s->self, name, off, tail, n)) != 0) {
        return bk_smp_hook_failed(c, rc);
    }
    bk_smp_put_bytes(&c->out, "data", tail, n);
    return BK_RC_OK;
}

static int status(bk_smp_call *c) {
    bk_smp_name name;
    uint32_t size;
    int rc = take_file(c, name, &size);
    if (rc) return rc;
    bk_smp_put_uint(&c->out, "len", size);
    return BK_RC_OK;
}

typedef struct {
    bool crc32; /* else SHA-256 */
    uint32_t crc;
    bk_sha256 sha;
} hasher;

static int hash_range(bk_smp_call *c, const char *name, uint32_t off, uint32_t n, hasher *h) {
    uint8_t buf[BK_SMP_HASH_CHUNK];
    h->crc = 0;
    bk_sha256_init(&h->sha);
    while (n) {
        uint32_t m = n < sizeof buf ? n : (uint32_t)sizeof buf;
        int rc = c->s->hooks->file_read(c->s->self, name, off, buf, m);
        if (rc) return bk_smp_hook_failed(c, rc);
        if (h->crc32) {
            h->crc = bk_crc32_ieee(h->crc, buf, m);
        } else {
            bk_sha256_update(&h->sha, buf, m);
        }
        off += m;
        n -= m;
    }
    return BK_RC_OK;
}

static bool text_is(const struct zcbor_string *s, const char *text) {
    return s->len == strlen(text) && memcmp(s->value, text, s->len) == 0;
}

static void put_hash(bk_smp_call *c, hasher *h, uint32_t off, uint32_t n) {
    const char *type = h->crc32 ? "crc32" : "sha256";
    bk_smp_put_text(&c->out, "type", type, strlen(type));
    if (off) bk_smp_put_uint(&c->out, "off", off);
    bk_smp_put_uint(&c->out, "len", n);
    if (h->crc32) {
        bk_smp_put_uint(&c->out, "output", h->crc);
    } else {
        uint8_t digest[32];
        bk_sha256_final(&h->sha, digest);
        bk_smp_put_bytes(&c->out, "output", digest, sizeof digest);
    }
}

static int hash(bk_smp_call *c) {
    bk_smp_name name;
    uint32_t size, off = 0, len = UINT32_MAX;
    struct zcbor_string type;
    int rc = take_file(c, name, &size);
    if (rc) return rc;
    bk_arg typed = bk_smp_arg_text(c, "type", &type);
    if (typed == BK_ARG_BAD || bk_smp_arg_u32(c, "off", &off) == BK_ARG_BAD ||
        bk_smp_arg_u32(c, "len", &len) == BK_ARG_BAD) {
        return BK_SMP_INVALID;
    }
    hasher h = {.crc32 = typed == BK_ARG_OK && text_is(&type, "crc32")};
    if (typed == BK_ARG_OK && !h.crc32 && !text_is(&type, "sha256")) return BK_RC_HASH_TYPE;
    if (off > size) return BK_RC_BAD_OFFSET;
    uint32_t n = len < size - off ? len : size - off;
    rc = hash_range(c, name, off, n, &h);
    if (rc == BK_RC_OK) put_hash(c, &h, off, n);
    return rc;
}

static void put_hash_type(bk_smp_call *c, const char *name, uint32_t format, uint32_t size) {
    bk_smp_put_key(&c->out, name);
    if (!zcbor_map_start_encode(c->out.z, 2)) c->out.full = true;
    bk_smp_put_uint(&c->out, "format", format);
    bk_smp_put_uint(&c->out, "size", size);
    if (!zcbor_map_end_encode(c->out.z, 2)) c->out.full = true;
}

static int hash_types(bk_smp_call *c) {
    enum { NUMBER = 0, BYTES = 1 };
    bk_smp_put_key(&c->out, "types");
    if (!zcbor_map_start_encode(c->out.z, 2)) c->out.full = true;
    put_hash_type(c, "sha256", BYTES, 32);
    put_hash_type(c, "crc32", NUMBER, 4);
    if (!zcbor_map_end_encode(c->out.z, 2)) c->out.full = true;
    return BK_RC_OK;
}

static const bk_smp_handler commands[][2] = {
    {download, upload}, {status, NULL}, {hash, NULL}, {hash_types, NULL}, {NULL, close_files},
};

const bk_smp_group bk_smp_group_fs = {
    BK_SMP_GROUP_FS,
    sizeof commands / sizeof commands[0],
    "fs mgmt",
    commands,
};
