/* bk_shell.c: the line shell. */
#include "bk_shell.h"

#include <string.h>

#include "bk_divide.h"

static const char help_text[] =
    "help              this text\n"
    "info              what this device is and runs\n"
    "list              the stored patches; * marks the active ones\n"
    "use NAME [NAME]   activate these patches, all or none\n"
    "off [NAME]        deactivate these patches, or every one\n"
    "rollback          return to the previous set\n"
    "rm NAME           remove a patch\n"
    "verify            check weights and patches\n"
    "ask TEXT          ask the model\n"
    "bench             time of a token\n"
    "logits TEXT       SHA-256 of the logits of every position\n"
    "reset             start anew\n";

typedef struct {
    const char *p;
    size_t n;
} words;

static void skip_space(words *w) {
    while (w->n && (*w->p == ' ' || *w->p == '\t')) {
        w->p++;
        w->n--;
    }
    while (w->n && (w->p[w->n - 1] == ' ' || w->p[w->n - 1] == '\t')) w->n--;
}

/* Take the first word off; n is 0 when there is none. */
static words take_word(words *w) {
    skip_space(w);
    size_t n = 0;
    while (n < w->n && w->p[n] != ' ' && w->p[n] != '\t') n++;
    words word = {w->p, n};
    w->p += n;
    w->n -= n;
    skip_space(w);
    return word;
}

static void put(const bk_shell *s, const char *text) { bk_text_put(&s->sink, text); }

static bk_facts lines(const bk_shell *s) { return (bk_facts){.lines = &s->sink}; }

static int no_such(bk_device *d, words word) {
    bk_say s = bk_device_say(d);
    bk_say_quoted(&s, word.p, word.n);
    bk_say_text(&s, " is not a patch name");
    return BK_RC_BAD_NAME;
}

/* Distinct names; one that comes twice counts once. */
static int take_names(bk_device *d, words rest, bk_smp_name *names, size_t *n) {
    *n = 0;
    while (rest.n) {
        words word = take_word(&rest);
        if (!bk_name_ok(word.p, word.n)) return no_such(d, word);
        bk_smp_name name = {0};
        memcpy(name, word.p, word.n);
        bool known = false;
        for (size_t i = 0; i < *n; i++) known |= bk_name_order(names[i], name) == 0;
        if (known) continue;
        if (*n == BK_MAX_ACTIVE) return BK_RC_LIMIT;
        memcpy(names[(*n)++], name, sizeof name);
    }
    return BK_RC_OK;
}

/* ---- verbs -------------------------------------------------------------------------------- */

static int help(bk_shell *s, words rest) {
    (void)rest;
    put(s, help_text);
    return BK_RC_OK;
}

static int info(bk_shell *s, words rest) {
    bk_facts f = lines(s);
    (void)rest;
    return bk_device_info(s->device, &f);
}

static int list(bk_shell *s, words rest) {
    bk_smp_entry entry;
    uint32_t n = 0;
    (void)rest;
    for (; bk_device_list(s->device, n, &entry) == BK_RC_OK; n++) {
        put(s, entry.active ? "* " : "  ");
        put(s, entry.name);
        put(s, "  ");
        bk_text_put_uint(&s->sink, entry.size);
        put(s, " bytes\n");
    }
    if (!n) put(s, "no patches\n");
    return BK_RC_OK;
}

static int switched(const bk_shell *s, int rc, uint64_t ns) {
    const bk_active *a = &s->device->active;
    if (rc) return rc;
    put(s, "active: ");
    for (uint32_t i = 0; i < a->set.n; i++) {
        bk_smp_name name;
        bk_active_name(a, a->set.ids[i], name);
        put(s, name);
        put(s, " ");
    }
    put(s, a->set.n ? "(switched in " : "nothing (switched in ");
    ns += 500;
    (void)bk_divide(&ns, 1000);
    bk_text_put_uint(&s->sink, ns);
    put(s, " us)\n");
    return BK_RC_OK;
}

static int use(bk_shell *s, words rest) {
    bk_smp_name names[BK_MAX_ACTIVE];
    size_t n;
    uint64_t ns = 0;
    if (!rest.n)
        return bk_device_refuse(s->device, BK_RC_BAD_ARGUMENT, "use which patch? try list", "", "");
    int rc = take_names(s->device, rest, names, &n);
    if (!rc) rc = bk_device_use(s->device, (const bk_smp_name *)names, n, &ns);
    return switched(s, rc, ns);
}

static int off(bk_shell *s, words rest) {
    bk_smp_name names[BK_MAX_ACTIVE];
    size_t n;
    uint64_t ns = 0;
    int rc = take_names(s->device, rest, names, &n);
    if (!rc) rc = bk_device_off(s->device, (const bk_smp_name *)names, n, &ns);
    return switched(s, rc, ns);
}

static int rollback(bk_shell *s, words rest) {
    uint64_t ns = 0;
    (void)rest;
    int rc = bk_device_rollback(s->device, &ns);
    return switched(s, rc, ns);
}

static int remove_patch(bk_shell *s, words rest) {
    bk_smp_name name = {0};
    if (!bk_name_ok(rest.p, rest.n)) return no_such(s->device, rest);
    memcpy(name, rest.p, rest.n);
    int rc = bk_device_remove(s->device, name);
    if (rc) return rc;
    put(s, "removed ");
    put(s, name);
    put(s, "\n");
    return BK_RC_OK;
}

static int verify(bk_shell *s, words rest) {
    bk_facts f = lines(s);
    bool ok;
    (void)rest;
    int rc = bk_device_verify(s->device, &f, &ok);
    if (!rc) put(s, ok ? "ok\n" : "NOT ok\n");
    return rc;
}

static int ask(bk_shell *s, words rest) {
    int rc = bk_device_ask(s->device, rest.p, rest.n, BK_SMP_MAX_TOKENS);
    if (rc) return rc; /* what is being shown goes on */
    s->ticket = s->device->answer.ticket;
    s->shown = 0;
    return BK_RC_OK;
}

static int bench(bk_shell *s, words rest) {
    bk_facts f = lines(s);
    (void)rest;
    return bk_device_bench(s->device, &f);
}

static int logits(bk_shell *s, words rest) {
    uint8_t digest[32];
    int rc = bk_device_logits(s->device, rest.p, rest.n, digest);
    if (rc) return rc;
    bk_text_put_hex(&s->sink, digest, sizeof digest);
    put(s, "\n");
    return BK_RC_OK;
}

static int reset(bk_shell *s, words rest) {
    const bk_device_port *port = s->device->parts.port;
    (void)rest;
    port->reset(port->self, false);
    return BK_RC_OK;
}

static const struct {
    const char *name;
    int (*answer)(bk_shell *s, words rest);
} verbs[] = {
    {"help", help}, {"info", info},         {"list", list},       {"use", use},
    {"off", off},   {"rollback", rollback}, {"rm", remove_patch}, {"verify", verify},
    {"ask", ask},   {"bench", bench},       {"logits", logits},   {"reset", reset},
};

/* ---- lines -------------------------------------------------------------------------------- */

void bk_shell_init(bk_shell *s, bk_device *device, bk_text_sink sink) {
    *s = (bk_shell){.device = device, .sink = sink};
}

static void show_error(const bk_shell *s, int rc, const char *detail) {
    put(s, "error: ");
    put(s, bk_rc_own_text(rc < 0 ? (int)bk_rc_from_error(rc) : rc));
    put(s, detail[0] ? ": " : "");
    put(s, detail);
    put(s, "\n");
}

void bk_shell_answer(bk_shell *s, const char *line, size_t n) {
    words rest = {line, n};
    words name = take_word(&rest);
    if (!name.n) return;
    s->device->detail[0] = 0;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strlen(verbs[i].name) != name.n || memcmp(verbs[i].name, name.p, name.n)) continue;
        int rc = verbs[i].answer(s, rest);
        if (rc) show_error(s, rc, s->device->detail);
        return;
    }
    char text[80];
    bk_say say;
    bk_say_start(&say, text, sizeof text);
    bk_say_text(&say, "unknown command ");
    bk_say_quoted(&say, name.p, name.n);
    bk_say_text(&say, "; try help\n");
    put(s, text);
}

bool bk_shell_step(bk_shell *s) {
    const bk_answer *a = &s->device->answer;
    if (!s->ticket) return false;
    if (s->ticket == a->ticket && a->n > s->shown) {
        s->sink.put(s->sink.to, (const char *)a->text + s->shown, a->n - s->shown);
        s->shown = a->n;
    }
    if (s->ticket == a->ticket && !a->done) return true;
    put(s, "\n");
    if (s->ticket == a->ticket && a->rc) show_error(s, a->rc, a->detail);
    s->ticket = 0;
    return false;
}
