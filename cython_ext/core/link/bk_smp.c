#include "bk_smp.h"

#include "bk_bytes.h"
#include "bk_smp_wire.h"

enum { OP_READ = 0, OP_WRITE = 2, VERSION_2 = 1 };

const bk_smp_group *const bk_smp_groups[] = {
    &bk_smp_group_os,
    &bk_smp_group_fs,
    &bk_smp_group_enum,
    &bk_smp_group_bk,
};
const uint32_t bk_smp_n_groups = sizeof bk_smp_groups / sizeof bk_smp_groups[0];

typedef struct {
    uint8_t op, version;
    uint16_t length, group;
    uint8_t sequence, command;
} header;

static header load_header(const uint8_t *p) {
    return (header){
        .op = p[0] & 7,
        .version = p[0] >> 3 & 3,
        .length = bk_load16_be(p + 2),
        .group = bk_load16_be(p + 4),
        .sequence = p[6],
        .command = p[7],
    };
}

static void store_header(uint8_t *p, const header *h, size_t length) {
    p[0] = (uint8_t)((h->op + 1) | (h->version > VERSION_2 ? VERSION_2 : h->version) << 3);
    p[1] = 0;
    bk_store16_be(p + 2, (uint16_t)length);
    bk_store16_be(p + 4, h->group);
    p[6] = h->sequence;
    p[7] = h->command;
}

void bk_smp_init(bk_smp *s, const bk_smp_hooks *hooks, void *self, const char *about,
                 uint32_t buf_size, uint32_t buf_count) {
    memset(s, 0, sizeof *s);
    s->hooks = hooks;
    s->self = self;
    s->about = about;
    s->buf_size = buf_size;
    s->buf_count = buf_count;
}

uint32_t bk_smp_now(const bk_smp *s) {
    return s->hooks->clock_ms ? s->hooks->clock_ms(s->self) : 0;
}

int bk_smp_hook_failed(bk_smp_call *c, int rc) {
    if (c->s->hooks->detail) c->detail = c->s->hooks->detail(c->s->self);
    if (rc < 0) return (int)bk_rc_from_error(rc);
    return rc < BK_RC_COUNT ? rc : BK_RC_INTERNAL;
}

size_t bk_smp_detail_n(const char *detail) {
    size_t n = strlen(detail);
    if (n > BK_SMP_DETAIL_MAX) n = BK_SMP_DETAIL_MAX;
    while (n && ((uint8_t)detail[n] & 0xc0) == 0x80) n--;
    return n;
}

size_t bk_smp_room(const bk_smp_call *c) {
    enum { CLOSING = 2 };
    size_t left = (size_t)(c->out.z->payload_end - c->out.z->payload);
    return left > CLOSING ? left - CLOSING : 0;
}

/* ---- what hooks write -------------------------------------------------------------------- */

static void note(bk_smp_fields *f, bool fitted) {
    if (!fitted) f->full = true;
}

void bk_smp_put_key(bk_smp_fields *f, const char *key) {
    note(f, zcbor_tstr_encode_ptr(f->z, key, strlen(key)));
}

void bk_smp_put_uint(bk_smp_fields *f, const char *key, uint64_t v) {
    bk_smp_put_key(f, key);
    note(f, zcbor_uint64_put(f->z, v));
}

void bk_smp_put_int(bk_smp_fields *f, const char *key, int64_t v) {
    bk_smp_put_key(f, key);
    note(f, zcbor_int64_put(f->z, v));
}

void bk_smp_put_bool(bk_smp_fields *f, const char *key, bool v) {
    bk_smp_put_key(f, key);
    note(f, zcbor_bool_put(f->z, v));
}

void bk_smp_put_text(bk_smp_fields *f, const char *key, const char *text, size_t n) {
    bk_smp_put_key(f, key);
    note(f, zcbor_tstr_encode_ptr(f->z, text, n));
}

void bk_smp_put_bytes(bk_smp_fields *f, const char *key, const uint8_t *p, size_t n) {
    bk_smp_put_key(f, key);
    note(f, zcbor_bstr_encode_ptr(f->z, (const char *)p, n));
}

void bk_smp_begin_texts(bk_smp_fields *f, const char *key) {
    bk_smp_put_key(f, key);
    note(f, zcbor_list_start_encode(f->z, BK_SMP_MAX_KEYS));
}

void bk_smp_add_text(bk_smp_fields *f, const char *text, size_t n) {
    note(f, zcbor_tstr_encode_ptr(f->z, text, n));
}

void bk_smp_end_texts(bk_smp_fields *f) { note(f, zcbor_list_end_encode(f->z, BK_SMP_MAX_KEYS)); }

/* ---- one request ------------------------------------------------------------------------- */

static bk_smp_handler find_handler(const header *h, int *rc) {
    *rc = BK_SMP_NOT_SUPPORTED;
    for (uint32_t i = 0; i < bk_smp_n_groups; i++) {
        const bk_smp_group *g = bk_smp_groups[i];
        if (g->id != h->group || h->command >= g->n_commands) continue;
        return g->commands[h->command][h->op == OP_WRITE];
    }
    return NULL;
}

static void begin(zcbor_state_t *z, bk_smp_call *c) {
    c->out.z = z;
    c->out.full = !zcbor_map_start_encode(z, BK_SMP_MAX_KEYS);
}

static int end(bk_smp_call *c, const uint8_t *body) {
    note(&c->out, zcbor_map_end_encode(c->out.z, BK_SMP_MAX_KEYS));
    return c->out.full ? -1 : (int)(c->out.z->payload - body);
}

/* Leave out what does not fit rather than fail: an error must always get out. */
static void put_detail(bk_smp_call *c) {
    if (!c->detail || !*c->detail) return;
    size_t n = bk_smp_detail_n(c->detail);
    if (n + 10 <= bk_smp_room(c)) bk_smp_put_text(&c->out, "detail", c->detail, n);
}

/* Which group's vocabulary an error speaks, and its number there. */
static int speak(const bk_smp_call *c, const header *h, int *rc, bool *detail) {
    bool asked = false;
    *detail = h->group == BK_SMP_GROUP_BK ||
              (bk_smp_arg_bool(c, "detail", &asked) == BK_ARG_OK && asked);
    if (*detail) return BK_SMP_GROUP_BK;
    if (h->group == BK_SMP_GROUP_FS) {
        *rc = bk_rc_as_fs(*rc);
        return BK_SMP_GROUP_FS;
    }
    *rc = bk_rc_as_smp(*rc);
    return BK_SMP_GROUP_NONE;
}

static int answer_error(bk_smp_call *c, const header *h, int rc, uint8_t *body, size_t cap) {
    ZCBOR_STATE_E(z, 3, body, cap, 1);
    begin(z, c);
    int group = BK_SMP_GROUP_NONE;
    bool detail = false;
    if (rc >= BK_SMP_ENUM_RC) {
        group = h->version == 0 ? BK_SMP_GROUP_NONE : BK_SMP_GROUP_ENUM;
        rc = h->version == 0 ? BK_SMP_NO_ENTRY - BK_SMP_RC : rc - BK_SMP_ENUM_RC;
    } else if (rc >= BK_SMP_RC) {
        rc -= BK_SMP_RC;
    } else if (h->version == 0) {
        rc = bk_rc_as_smp(rc);
    } else {
        group = speak(c, h, &rc, &detail);
    }
    if (group == BK_SMP_GROUP_NONE) {
        bk_smp_put_uint(&c->out, "rc", (uint64_t)rc);
    } else {
        bk_smp_put_key(&c->out, "err");
        note(&c->out, zcbor_map_start_encode(z, 2));
        bk_smp_put_uint(&c->out, "group", (uint64_t)group);
        bk_smp_put_uint(&c->out, "rc", (uint64_t)rc);
        note(&c->out, zcbor_map_end_encode(z, 2));
    }
    if (detail) put_detail(c);
    return end(c, body);
}

static int run(bk_smp_call *c, const header *h, size_t n, uint8_t *body, size_t cap, int *length) {
    if (h->version > VERSION_2) return BK_SMP_TOO_NEW;
    if (h->length > n - BK_SMP_HEADER) return BK_SMP_INVALID;
    c->n = h->length;
    if (!bk_smp_args_well_formed(c->body, c->n)) {
        c->n = 0;
        return BK_SMP_INVALID;
    }
    int rc;
    bk_smp_handler handler = find_handler(h, &rc);
    if (!handler) return rc;
    ZCBOR_STATE_E(z, 3, body, cap, 1);
    begin(z, c);
    rc = handler(c);
    if (rc != BK_RC_OK) return rc;
    *length = end(c, body);
    return *length < 0 ? BK_SMP_MSG_SIZE : BK_RC_OK;
}

int bk_smp_handle(bk_smp *s, const uint8_t *req, size_t n, uint8_t *rsp, size_t cap) {
    if (cap < BK_SMP_MIN_BUFFER) return BK_ERR_MEMORY;
    if (n < BK_SMP_HEADER) return 0;
    header h = load_header(req);
    if (h.op != OP_READ && h.op != OP_WRITE) return 0;
    if (cap > BK_SMP_HEADER + UINT16_MAX) cap = BK_SMP_HEADER + UINT16_MAX;
    bk_smp_call c = {.s = s, .body = req + BK_SMP_HEADER};
    uint8_t *body = rsp + BK_SMP_HEADER;
    int length = 0;
    int rc = run(&c, &h, n, body, cap - BK_SMP_HEADER, &length);
    if (rc != BK_RC_OK) length = answer_error(&c, &h, rc, body, cap - BK_SMP_HEADER);
    if (length < 0) return BK_ERR_MEMORY;
    store_header(rsp, &h, (size_t)length);
    return BK_SMP_HEADER + length;
}
