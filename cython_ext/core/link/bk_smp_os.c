/* bk_smp_os.c: SMP group 0 (echo, reset, parameters, date and time, information) and
 * group 10 (enumeration). */
#include "bk_bytes.h"
#include "bk_smp_wire.h"

static int echo(bk_smp_call *c) {
    struct zcbor_string d;
    if (bk_smp_arg_text(c, "d", &d) != BK_ARG_OK) return BK_SMP_INVALID;
    bk_smp_put_text(&c->out, "r", (const char *)d.value, d.len);
    return BK_RC_OK;
}

static int reset(bk_smp_call *c) {
    if (!c->s->hooks->reset) return BK_SMP_NOT_SUPPORTED;
    int rc = c->s->hooks->reset(c->s->self);
    return rc ? bk_smp_hook_failed(c, rc) : BK_RC_OK;
}

static int parameters(bk_smp_call *c) {
    bk_smp_put_uint(&c->out, "buf_size", c->s->buf_size);
    bk_smp_put_uint(&c->out, "buf_count", c->s->buf_count);
    return BK_RC_OK;
}

static int date_time(bk_smp_call *c) {
    char text[40];
    if (!c->s->hooks->datetime) return BK_SMP_NOT_SUPPORTED;
    int rc = c->s->hooks->datetime(c->s->self, text, sizeof text);
    if (rc == BK_RC_NOT_SUPPORTED) return BK_SMP_NOT_SUPPORTED;
    if (rc) return bk_smp_hook_failed(c, rc);
    bk_smp_put_text(&c->out, "datetime", text, strlen(text));
    return BK_RC_OK;
}

static int about(bk_smp_call *c) {
    bk_smp_put_text(&c->out, "output", c->s->about, strlen(c->s->about));
    return BK_RC_OK;
}

static const bk_smp_handler os_commands[][2] = {
    {echo, echo},       {0},           {0}, {0}, {date_time, NULL}, {NULL, reset},
    {parameters, NULL}, {about, NULL},
};

const bk_smp_group bk_smp_group_os = {
    BK_SMP_GROUP_OS,
    sizeof os_commands / sizeof os_commands[0],
    "os mgmt",
    os_commands,
};

/* ---- enumeration ------------------------------------------------------------------------- */

static int count_groups(bk_smp_call *c) {
    bk_smp_put_uint(&c->out, "count", bk_smp_n_groups);
    return BK_RC_OK;
}

static void check(bk_smp_call *c, bool fitted) {
    if (!fitted) c->out.full = true;
}

static int list_groups(bk_smp_call *c) {
    bk_smp_put_key(&c->out, "groups");
    check(c, zcbor_list_start_encode(c->out.z, bk_smp_n_groups));
    for (uint32_t i = 0; i < bk_smp_n_groups; i++) {
        check(c, zcbor_uint32_put(c->out.z, bk_smp_groups[i]->id));
    }
    check(c, zcbor_list_end_encode(c->out.z, bk_smp_n_groups));
    return BK_RC_OK;
}

static int one_group(bk_smp_call *c) {
    uint32_t index = 0;
    if (bk_smp_arg_u32(c, "index", &index) == BK_ARG_BAD) return BK_SMP_INVALID;
    if (index >= bk_smp_n_groups) return BK_SMP_ENUM_INDEX;
    bk_smp_put_uint(&c->out, "group", bk_smp_groups[index]->id);
    if (index + 1 == bk_smp_n_groups) bk_smp_put_bool(&c->out, "end", true);
    return BK_RC_OK;
}

static uint64_t count_commands(const bk_smp_group *g) {
    uint64_t n = 0;
    for (unsigned i = 0; i < g->n_commands; i++) n += g->commands[i][0] || g->commands[i][1];
    return n;
}

static void put_group(bk_smp_call *c, const bk_smp_group *g) {
    check(c, zcbor_map_start_encode(c->out.z, 3));
    bk_smp_put_uint(&c->out, "group", g->id);
    bk_smp_put_text(&c->out, "name", g->name, strlen(g->name));
    bk_smp_put_uint(&c->out, "handlers", count_commands(g));
    check(c, zcbor_map_end_encode(c->out.z, 3));
}

static int describe_groups(bk_smp_call *c) {
    uint32_t wanted[16];
    size_t n;
    bk_arg asked = bk_smp_arg_u32s(c, "groups", wanted, sizeof wanted / sizeof wanted[0], &n);
    if (asked == BK_ARG_BAD) return BK_SMP_INVALID;
    bk_smp_put_key(&c->out, "groups");
    check(c, zcbor_list_start_encode(c->out.z, bk_smp_n_groups));
    for (uint32_t i = 0; i < bk_smp_n_groups; i++) {
        bool show = asked == BK_ARG_ABSENT;
        for (size_t k = 0; k < n; k++) show |= wanted[k] == bk_smp_groups[i]->id;
        if (show) put_group(c, bk_smp_groups[i]);
    }
    check(c, zcbor_list_end_encode(c->out.z, bk_smp_n_groups));
    return BK_RC_OK;
}

static const bk_smp_handler enum_commands[][2] = {
    {count_groups, NULL},
    {list_groups, NULL},
    {one_group, NULL},
    {describe_groups, NULL},
};

const bk_smp_group bk_smp_group_enum = {
    BK_SMP_GROUP_ENUM,
    sizeof enum_commands / sizeof enum_commands[0],
    "enum mgmt",
    enum_commands,
};
