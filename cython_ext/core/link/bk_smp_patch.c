/* bk_smp_patch.c: SMP group 0x424B: patches, prompts, and what the device is. */
#include "bk_bytes.h"
#include "bk_smp_wire.h"

static int copy_name(const struct zcbor_string *from, bk_smp_name name) {
    if (!bk_name_ok((const char *)from->value, from->len)) return BK_RC_BAD_NAME;
    memcpy(name, from->value, from->len);
    name[from->len] = 0;
    return BK_RC_OK;
}

static int info(bk_smp_call *c) {
    if (!c->s->hooks->info) return BK_RC_NOT_SUPPORTED;
    int rc = c->s->hooks->info(c->s->self, &c->out);
    return rc ? bk_smp_hook_failed(c, rc) : BK_RC_OK;
}

/* ---- list -------------------------------------------------------------------------------- */

static void put_entry(bk_smp_call *c, const bk_smp_entry *e) {
    if (!zcbor_map_start_encode(c->out.z, 4)) c->out.full = true;
    bk_smp_put_text(&c->out, "name", e->name, strlen(e->name));
    bk_smp_put_uint(&c->out, "size", e->size);
    bk_smp_put_bool(&c->out, "active", e->active);
    if (!zcbor_map_end_encode(c->out.z, 4)) c->out.full = true;
}

static int list(bk_smp_call *c) {
    /* an entry at its longest: 2 map, 5+34 name, 5+5 size, 8 active; then "next" */
    enum { ENTRY = 59 + BK_NAME_MAX - 32, NEXT = 1 + 5 + 5 };
    if (!c->s->hooks->list) return BK_RC_NOT_SUPPORTED;
    uint32_t index = 0;
    if (bk_smp_arg_u32(c, "from", &index) == BK_ARG_BAD) return BK_RC_BAD_ARGUMENT;
    bk_smp_put_key(&c->out, "patches");
    if (!zcbor_list_start_encode(c->out.z, BK_SMP_MAX_KEYS)) c->out.full = true;
    bk_smp_entry e = {0};
    int rc;
    uint32_t sent = 0;
    while ((rc = c->s->hooks->list(c->s->self, index, &e)) == BK_RC_OK) {
        if (sent == BK_SMP_MAX_KEYS || bk_smp_room(c) < ENTRY + NEXT) break;
        put_entry(c, &e);
        memset(&e, 0, sizeof e);
        index++;
        sent++;
    }
    if (rc != BK_RC_OK && rc != BK_RC_NO_SUCH_PATCH) return bk_smp_hook_failed(c, rc);
    if (rc == BK_RC_OK && sent == 0) return BK_SMP_MSG_SIZE;
    if (!zcbor_list_end_encode(c->out.z, BK_SMP_MAX_KEYS)) c->out.full = true;
    if (rc == BK_RC_OK) bk_smp_put_uint(&c->out, "next", index);
    return BK_RC_OK;
}

/* ---- the active set ---------------------------------------------------------------------- */

static int take_names(bk_smp_call *c, bk_smp_name *names, size_t *n, bool optional) {
    struct zcbor_string views[BK_MAX_ACTIVE + 1]; /* one more, to tell too many from malformed */
    bk_arg found = bk_smp_arg_texts(c, "names", views, BK_MAX_ACTIVE + 1, n);
    if (*n > BK_MAX_ACTIVE) return BK_RC_LIMIT;
    if (found == BK_ARG_BAD || (found == BK_ARG_ABSENT && !optional)) return BK_RC_BAD_ARGUMENT;
    for (size_t i = 0; i < *n; i++) {
        int rc = copy_name(&views[i], names[i]);
        if (rc) return rc;
        for (size_t k = 0; k < i; k++) {
            if (bk_name_order(names[k], names[i]) == 0) return BK_RC_BAD_ARGUMENT;
        }
    }
    return BK_RC_OK;
}

static int answer_switch(bk_smp_call *c, int rc, uint64_t ns) {
    if (rc) return bk_smp_hook_failed(c, rc);
    bk_smp_put_uint(&c->out, "ns", ns);
    return BK_RC_OK;
}

static int activate(bk_smp_call *c) {
    bk_smp_name names[BK_MAX_ACTIVE];
    size_t n;
    uint64_t ns = 0;
    if (!c->s->hooks->activate) return BK_RC_NOT_SUPPORTED;
    int rc = take_names(c, names, &n, false);
    if (rc) return rc;
    rc = c->s->hooks->activate(c->s->self, (const bk_smp_name *)names, n, &ns);
    return answer_switch(c, rc, ns);
}

static int deactivate(bk_smp_call *c) {
    bk_smp_name names[BK_MAX_ACTIVE];
    size_t n;
    uint64_t ns = 0;
    if (!c->s->hooks->deactivate) return BK_RC_NOT_SUPPORTED;
    int rc = take_names(c, names, &n, true);
    if (rc) return rc;
    rc = c->s->hooks->deactivate(c->s->self, (const bk_smp_name *)names, n, &ns);
    return answer_switch(c, rc, ns);
}

static int rollback(bk_smp_call *c) {
    uint64_t ns = 0;
    if (!c->s->hooks->rollback) return BK_RC_NOT_SUPPORTED;
    int rc = c->s->hooks->rollback(c->s->self, &ns);
    return answer_switch(c, rc, ns);
}

static int remove_patch(bk_smp_call *c) {
    struct zcbor_string view;
    bk_smp_name name;
    if (!c->s->hooks->remove) return BK_RC_NOT_SUPPORTED;
    if (bk_smp_arg_text(c, "name", &view) != BK_ARG_OK) return BK_RC_BAD_ARGUMENT;
    int rc = copy_name(&view, name);
    if (rc) return rc;
    rc = c->s->hooks->remove(c->s->self, name);
    return rc ? bk_smp_hook_failed(c, rc) : BK_RC_OK;
}

static int verify(bk_smp_call *c) {
    if (!c->s->hooks->verify) return BK_RC_NOT_SUPPORTED;
    int rc = c->s->hooks->verify(c->s->self, &c->out);
    return rc ? bk_smp_hook_failed(c, rc) : BK_RC_OK;
}

/* ---- prompts ----------------------------------------------------------------------------- */

static int generate(bk_smp_call *c) {
    struct zcbor_string prompt;
    uint32_t max_tokens = BK_SMP_MAX_TOKENS;
    if (!c->s->hooks->generate) return BK_RC_NOT_SUPPORTED;
    if (bk_smp_arg_text(c, "prompt", &prompt) != BK_ARG_OK || prompt.len == 0 ||
        bk_smp_arg_u32(c, "max_tokens", &max_tokens) == BK_ARG_BAD || max_tokens == 0) {
        return BK_RC_BAD_ARGUMENT;
    }
    int rc = c->s->hooks->generate(c->s->self, (const char *)prompt.value, prompt.len, max_tokens);
    return rc ? bk_smp_hook_failed(c, rc) : BK_RC_OK;
}

static int output(bk_smp_call *c) {
    /* off 4+5, data 5+5, done 6, tokens 7+5, us 3+9 */
    enum { OTHERS = 9 + 10 + 6 + 12 + 12 };
    if (!c->s->hooks->output) return BK_RC_NOT_SUPPORTED;
    uint32_t off = 0;
    if (bk_smp_arg_u32(c, "off", &off) == BK_ARG_BAD) return BK_RC_BAD_ARGUMENT;
    size_t room = bk_smp_room(c);
    if (room <= OTHERS) return BK_SMP_MSG_SIZE;
    /* written past all that is encoded before it, then moved down */
    uint8_t *tail = c->out.z->payload_mut + OTHERS;
    bk_smp_output o = {0};
    int rc = c->s->hooks->output(c->s->self, off, tail, room - OTHERS, &o);
    if (rc) return bk_smp_hook_failed(c, rc);
    if (o.n > room - OTHERS) return BK_RC_INTERNAL;
    bk_smp_put_uint(&c->out, "off", off);
    bk_smp_put_bool(&c->out, "done", o.done);
    bk_smp_put_uint(&c->out, "tokens", o.tokens);
    bk_smp_put_uint(&c->out, "us", o.us);
    bk_smp_put_bytes(&c->out, "data", tail, o.n);
    return BK_RC_OK;
}

static int bench(bk_smp_call *c) {
    if (!c->s->hooks->bench) return BK_RC_NOT_SUPPORTED;
    int rc = c->s->hooks->bench(c->s->self, &c->out);
    return rc ? bk_smp_hook_failed(c, rc) : BK_RC_OK;
}

static const bk_smp_handler commands[][2] = {
    {info, NULL},     {list, NULL},     {NULL, activate}, {NULL, deactivate}, {NULL, remove_patch},
    {NULL, rollback}, {verify, verify}, {NULL, generate}, {output, NULL},     {NULL, bench},
};

const bk_smp_group bk_smp_group_bk = {
    BK_SMP_GROUP_BK,
    sizeof commands / sizeof commands[0],
    "bankai",
    commands,
};
