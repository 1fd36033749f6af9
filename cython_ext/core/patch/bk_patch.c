/* bk_patch.c: decode strictly, check against a model, flip in place. */
#include "bk_patch.h"

#include "bk_cbor.h"
#include "bk_name.h"

enum {
    KEY_VERSION,
    KEY_NAME,
    KEY_DOMAIN,
    KEY_MODEL_ID,
    KEY_ROWS,
    KEY_GROUPS,
    KEY_BITS,
    KEY_CRC,
    KEY_CANARIES,
    KEY_PROVENANCE,
    KEY_SEQUENCE,
    KEY_EXTENSIONS = 64, /* unknown keys from here on are skipped */
};
enum { COSE_SIGN1_TAG = 0xd2, EMPTY_MAP = 0xa0 };

/* ---- decode ---- */

static bool text(zcbor_state_t *z, bk_str *out) {
    struct zcbor_string s;
    if (!bk_cbor_text(z, &s)) return false;
    *out = (bk_str){(const char *)s.value, s.len};
    return true;
}

/* Walk one flip stream to its end, so that later walks cannot fail. */
static int parse_flips(zcbor_state_t *z, bk_patch *patch, bk_flip_kind kind) {
    struct zcbor_string s;
    bk_flips f;
    int rc;
    if (!zcbor_bstr_decode(z, &s)) return BK_ERR_MALFORMED;
    rc = bk_flips_open(&f, s.value, s.len, kind);
    if (rc != BK_OK) return rc;
    while ((rc = bk_flips_next(&f)) == 1) patch->n_flips[kind]++;
    if (rc < 0 || patch->n_flips[kind] == 0) return BK_ERR_MALFORMED;
    patch->flips[kind] = (bk_span){s.value, s.len};
    return BK_OK;
}

static bool parse_canaries(zcbor_state_t *z, bk_patch *patch) {
    const uint8_t *start = z->payload;
    bk_str ignored;
    if (!zcbor_list_start_decode(z)) return false;
    while (z->elem_count > 0) {
        if (!zcbor_list_start_decode(z) || z->elem_count != 2 || !text(z, &ignored) ||
            !text(z, &ignored) || !zcbor_list_end_decode(z))
            return false;
        patch->n_canaries++;
    }
    if (patch->n_canaries == 0 || !zcbor_list_end_decode(z)) return false;
    patch->canaries = (bk_span){start, (size_t)(z->payload - start)};
    return true;
}

static bool parse_provenance(zcbor_state_t *z, bk_patch *patch) {
    const uint8_t *start = z->payload;
    /* an empty map would be a second way of saying nothing */
    bool map = start < z->payload_end && (*start & 0xe0) == EMPTY_MAP && *start != EMPTY_MAP;
    if (!bk_cbor_any(z) || !map) return false;
    patch->provenance = (bk_span){start, (size_t)(z->payload - start)};
    return true;
}

static bool parse_model_id(zcbor_state_t *z, bk_patch *patch) {
    struct zcbor_string s;
    if (!zcbor_bstr_decode(z, &s) || s.len != sizeof((bk_model *)0)->id) return false;
    patch->model_id = s.value;
    return true;
}

static int parse_value(zcbor_state_t *z, uint32_t key, bk_patch *patch, bool *has_crc) {
    uint32_t version;
    bool ok;
    switch (key) {
    case KEY_VERSION:
        ok = zcbor_uint32_decode(z, &version);
        return ok && version != BK_PATCH_VERSION ? BK_ERR_VERSION : ok ? BK_OK : BK_ERR_MALFORMED;
    case KEY_ROWS:
    case KEY_GROUPS:
    case KEY_BITS: return parse_flips(z, patch, (bk_flip_kind)(key - KEY_ROWS));
    case KEY_NAME: ok = text(z, &patch->name) && bk_name_ok(patch->name.p, patch->name.n); break;
    case KEY_DOMAIN:
        ok = text(z, &patch->domain) && patch->domain.n > 0 &&
             patch->domain.n <= BK_PATCH_DOMAIN_MAX;
        break;
    case KEY_MODEL_ID: ok = parse_model_id(z, patch); break;
    case KEY_CRC: ok = *has_crc = zcbor_uint32_decode(z, &patch->crc); break;
    case KEY_CANARIES: ok = parse_canaries(z, patch); break;
    case KEY_PROVENANCE: ok = parse_provenance(z, patch); break;
    case KEY_SEQUENCE: ok = patch->has_sequence = zcbor_uint32_decode(z, &patch->sequence); break;
    default: ok = key >= KEY_EXTENSIONS && bk_cbor_any(z);
    }
    return ok ? BK_OK : BK_ERR_MALFORMED;
}

static int parse_map(zcbor_state_t *z, bk_patch *patch) {
    bool has_crc = false;
    if (!zcbor_map_start_decode(z)) return BK_ERR_MALFORMED;
    for (int64_t key = -1; z->elem_count > 0;) {
        uint32_t next;
        if (!zcbor_uint32_decode(z, &next) || next <= key) return BK_ERR_MALFORMED;
        if (key < 0 && next != KEY_VERSION) return BK_ERR_MALFORMED;
        key = next;
        int rc = parse_value(z, next, patch, &has_crc);
        if (rc != BK_OK) return rc;
    }
    if (!zcbor_map_end_decode(z) || z->payload != z->payload_end) return BK_ERR_MALFORMED;
    bool empty = !patch->flips[BK_FLIP_ROWS].p && !patch->flips[BK_FLIP_GROUPS].p &&
                 !patch->flips[BK_FLIP_BITS].p;
    /* a model id without the CRC of its rows, or the reverse, would be half a promise */
    if (!patch->name.p || empty || has_crc != (patch->model_id != NULL)) return BK_ERR_MALFORMED;
    return BK_OK;
}

int bk_patch_parse(const uint8_t *bytes, size_t n, bk_patch *patch) {
    *patch = (bk_patch){.whole = {bytes, n}};
    if (n == 0) return BK_ERR_TRUNCATED;
    if (n > BK_FLIPS_MAX_BYTES) return BK_ERR_LIMIT;
    if (bytes[0] == COSE_SIGN1_TAG) return BK_ERR_PATCH_SIGNED;
    ZCBOR_STATE_D(z, BK_CBOR_DEPTH + 1, bytes, n, 1, 0);
    z->constant_state->enforce_canonical = true;
    int rc = parse_map(z, patch);
    if (rc == BK_ERR_MALFORMED && zcbor_peek_error(z) == ZCBOR_ERR_NO_PAYLOAD)
        return BK_ERR_TRUNCATED;
    return rc;
}

static const uint8_t *moved(const bk_patch *patch, const uint8_t *view, const uint8_t *bytes) {
    return view ? bytes + ((uintptr_t)view - (uintptr_t)patch->whole.p) : NULL;
}

void bk_patch_move(bk_patch *patch, const uint8_t *bytes) {
    bk_patch *p = patch;
    if (bytes == p->whole.p) return;
    p->name.p = (const char *)moved(p, (const uint8_t *)p->name.p, bytes);
    p->domain.p = (const char *)moved(p, (const uint8_t *)p->domain.p, bytes);
    p->model_id = moved(p, p->model_id, bytes);
    for (int kind = 0; kind < BK_N_FLIP_KINDS; kind++)
        p->flips[kind].p = moved(p, p->flips[kind].p, bytes);
    p->canaries.p = moved(p, p->canaries.p, bytes);
    p->provenance.p = moved(p, p->provenance.p, bytes);
    p->whole.p = bytes;
}

int bk_patch_canary(const bk_patch *patch, uint32_t i, bk_str *prompt, bk_str *expected) {
    if (i >= patch->n_canaries) return BK_ERR_ARGUMENT;
    ZCBOR_STATE_D(z, 2, patch->canaries.p, patch->canaries.n, 1, 0);
    if (!zcbor_list_start_decode(z)) return BK_ERR_MALFORMED;
    for (uint32_t at = 0; at <= i; at++)
        if (!zcbor_list_start_decode(z) || !text(z, prompt) || !text(z, expected) ||
            !zcbor_list_end_decode(z))
            return BK_ERR_MALFORMED;
    return BK_OK;
}

/* ---- against a model ---- */

/* Visit every row touched: sum its CRC (crc may be NULL), check its ranges, flip it if told so. */
static int walk(const bk_patch *patch, const bk_model *model, uint32_t *crc, bool flip) {
    bk_crc32c_fn crc32c = model->crc32c ? model->crc32c : bk_crc32c;
    bk_flips streams[BK_N_FLIP_KINDS];
    bk_rows rows;
    bk_rows_start(&rows, streams, &patch, 1);
    while (bk_rows_next(&rows)) {
        const bk_mat *w = bk_rows_mat(&rows, model);
        if (!w) return BK_ERR_PATCH_RANGE;
        size_t row_bytes = bk_q1_row_bytes(w->cols);
        const uint8_t *blocks = w->data + rows.row * row_bytes;
        if (crc) *crc = crc32c(*crc, blocks, row_bytes);
        bk_row_sink sink = {0};
        if (flip && w->packed) sink = (bk_row_sink){.packed = w, .kernel = model->kernel};
        else if (flip) sink.blocks = (uint8_t *)(uintptr_t)blocks;
        int rc = bk_rows_take(&rows, sink, w->cols);
        if (rc < 0) return rc;
    }
    return BK_OK;
}

/* Has it no finer flips than rows? Most have not, and a row is distinct in its stream. */
static bool only_rows(const bk_patch *patch) {
    return !patch->flips[BK_FLIP_GROUPS].p && !patch->flips[BK_FLIP_BITS].p;
}

/* One walk for what walk() does in two, of such a patch: sum the CRC (which may be NULL) of the
 * first *n rows and flip them. *n becomes the number of those flipped, also on an error. */
static int flip_rows(const bk_patch *patch, const bk_model *model, uint32_t *crc, uint32_t *n) {
    bk_crc32c_fn crc32c = model->crc32c ? model->crc32c : bk_crc32c;
    const bk_span *span = &patch->flips[BK_FLIP_ROWS];
    uint32_t limit = *n;
    bk_flips f;
    int rc = bk_flips_open(&f, span->p, span->n, BK_FLIP_ROWS);
    for (*n = 0; rc == BK_OK && *n < limit && bk_flips_next(&f) == 1; ++*n) {
        const bk_mat *w = bk_rows_mat(&(bk_rows){.section = f.section, .row = f.row}, model);
        if (!w) return BK_ERR_PATCH_RANGE;
        size_t row_bytes = bk_q1_row_bytes(w->cols);
        uint8_t *blocks = (uint8_t *)(uintptr_t)w->data + f.row * row_bytes;
        if (crc) *crc = crc32c(*crc, blocks, row_bytes);
        if (!w->packed) bk_q1_flip_row(blocks, w->cols);
        else
            for (uint32_t g = 0; g < w->cols / BK_Q1_COLS; g++)
                model->kernel->flip_group(w, f.row, g);
    }
    return rc;
}

/* Flip all rows of such a patch, or none, if one is out of range or the CRC is not *crc. */
static int flip_all_rows(const bk_patch *patch, const bk_model *model, const uint32_t *crc) {
    uint32_t n = UINT32_MAX, found = 0;
    int rc = flip_rows(patch, model, crc ? &found : NULL, &n);
    if (rc == BK_OK && crc && found != *crc) rc = BK_ERR_PATCH_CRC;
    if (rc != BK_OK) (void)flip_rows(patch, model, NULL, &n);
    return rc;
}

int bk_patch_row_crc(const bk_patch *patch, const bk_model *model, uint32_t *crc) {
    *crc = 0;
    return walk(patch, model, crc, false);
}

static int check_model(const bk_patch *patch, const bk_model *model, bool allow_unbound) {
    if (!patch->model_id && !allow_unbound) return BK_ERR_PATCH_UNBOUND;
    if (patch->model_id && memcmp(patch->model_id, model->id, sizeof model->id) != 0)
        return BK_ERR_PATCH_MODEL;
    return BK_OK;
}

int bk_patch_check(const bk_patch *patch, const bk_model *model, bool allow_unbound) {
    uint32_t crc;
    int rc = check_model(patch, model, allow_unbound);
    if (rc == BK_OK) rc = bk_patch_row_crc(patch, model, &crc);
    if (rc == BK_OK && patch->model_id && crc != patch->crc) return BK_ERR_PATCH_CRC;
    return rc;
}

int bk_patch_xor(const bk_patch *patch, bk_model *model) {
    if (!model->writable) return BK_ERR_READ_ONLY;
    if (only_rows(patch)) return flip_all_rows(patch, model, NULL);
    int rc = walk(patch, model, NULL, false); /* ranges first: all or nothing */
    return rc == BK_OK ? walk(patch, model, NULL, true) : rc;
}

/* XOR a whole set; on an error what was already done is undone. */
static int xor_set(bk_model *model, const bk_patch *const *set, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        int rc = bk_patch_xor(set[i], model);
        if (rc != BK_OK) {
            (void)xor_set(model, set, i);
            return rc;
        }
    }
    return BK_OK;
}

/* Check a set against the pristine rows, then apply it; on an error nothing is changed. */
static int apply_set(bk_model *model, const bk_patch *const *set, uint32_t n, bool allow_unbound) {
    int rc = BK_OK;
    if (n == 1 && only_rows(set[0])) { /* each row is checked and flipped while it is at hand */
        rc = check_model(set[0], model, allow_unbound);
        return rc ? rc : flip_all_rows(set[0], model, set[0]->model_id ? &set[0]->crc : NULL);
    }
    for (uint32_t i = 0; i < n && rc == BK_OK; i++)
        rc = bk_patch_check(set[i], model, allow_unbound);
    for (uint32_t i = 0; i < n && rc == BK_OK; i++)
        rc = walk(set[i], model, NULL, true); /* cannot fail: checked just now */
    return rc;
}

int bk_patch_swap(bk_model *model, const bk_patch *const *old_set, uint32_t n_old,
                  const bk_patch *const *new_set, uint32_t n_new, bool allow_unbound) {
    if (!model->writable) return BK_ERR_READ_ONLY;
    int rc = xor_set(model, old_set, n_old);
    if (rc != BK_OK) return rc;
    rc = apply_set(model, new_set, n_new, allow_unbound);
    if (rc != BK_OK) (void)xor_set(model, old_set, n_old);
    return rc;
}
