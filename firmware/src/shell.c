/* shell.c: the line shell, with the verbs and words of the Linux agent's. */
#include "bk_shell.h"

#include <string.h>

#include "bk_console.h"

static const char help_text[] =
    "help              this text\n"
    "info              what this device is and runs\n"
    "list              the stored patches; * marks the active ones\n"
    "use NAME [NAME]   activate these patches, all or none\n"
    "off               deactivate every patch\n"
    "rollback          return to the previous set\n"
    "rm NAME           remove a patch\n"
    "verify            check weights and patches\n"
#ifndef BK_SWITCHER
    "ask TEXT          ask the model\n"
    "bench             time of a token, memory and stack\n"
    "logits TEXT       SHA-256 of the logits of every position\n"
#endif
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

static int bad_argument(bk_device *d, const char *text) {
    memcpy(d->detail, text, strlen(text) + 1);
    return BK_RC_BAD_ARGUMENT;
}

static int no_such(bk_device *d, words word) {
    bk_say s;
    bk_say_start(&s, d->detail, sizeof d->detail);
    bk_say_quoted(&s, word.p, word.n);
    bk_say_text(&s, " is not a patch name");
    return BK_RC_BAD_NAME;
}

/* Distinct names; one that comes twice counts once. */
static int take_names(bk_device *d, words rest, bk_smp_name *names, size_t *n) {
    *n = 0;
    while (rest.n) {
        words word = take_word(&rest);
        if (!bk_smp_name_ok(word.p, word.n)) return no_such(d, word);
        bk_smp_name name = {0};
        memcpy(name, word.p, word.n);
        bool known = false;
        for (size_t i = 0; i < *n; i++) known |= strcmp(names[i], name) == 0;
        if (known) continue;
        if (*n == BK_MAX_ACTIVE) return BK_RC_LIMIT;
        memcpy(names[(*n)++], name, sizeof name);
    }
    return BK_RC_OK;
}

/* ---- verbs -------------------------------------------------------------------------------- */

static int help(bk_device *d, words rest) {
    (void)d, (void)rest;
    bk_console_put(help_text);
    return BK_RC_OK;
}

static int info(bk_device *d, words rest) {
    (void)rest;
    return bk_device_info(d, &(bk_facts){0});
}

static int list(bk_device *d, words rest) {
    const bk_store_patch *p;
    (void)rest;
    for (uint32_t i = 0; (p = bk_device_at(d, i)); i++) {
        bk_console_put(bk_active_holds(&d->active, p->id) ? "* " : "  ");
        bk_console_put(p->name);
        bk_console_put("  ");
        bk_console_put_uint(p->size);
        bk_console_put(" bytes\n");
    }
    if (!bk_device_at(d, 0)) bk_console_put("no patches\n");
    return BK_RC_OK;
}

static int switched(const bk_device *d, int rc, uint64_t ns) {
    if (rc) return rc;
    bk_console_put("active: ");
    for (uint32_t i = 0; i < d->active.set.n; i++) {
        bk_console_put(bk_active_name(&d->active, d->active.set.ids[i]));
        bk_console_put(" ");
    }
    bk_console_put(d->active.set.n ? "(switched in " : "nothing (switched in ");
    bk_console_put_uint((uint32_t)(ns / 1000));
    bk_console_put(" us)\n");
    return BK_RC_OK;
}

static int use(bk_device *d, words rest) {
    bk_smp_name names[BK_MAX_ACTIVE];
    size_t n;
    uint64_t ns = 0;
    if (!rest.n) return bad_argument(d, "use which patch? try list");
    int rc = take_names(d, rest, names, &n);
    if (!rc) rc = bk_device_use(d, (const bk_smp_name *)names, n, &ns);
    return switched(d, rc, ns);
}

static int off(bk_device *d, words rest) {
    bk_smp_name names[BK_MAX_ACTIVE];
    size_t n;
    uint64_t ns = 0;
    int rc = take_names(d, rest, names, &n);
    if (!rc) rc = bk_device_off(d, (const bk_smp_name *)names, n, &ns);
    return switched(d, rc, ns);
}

static int rollback(bk_device *d, words rest) {
    uint64_t ns = 0;
    (void)rest;
    int rc = bk_device_rollback(d, &ns);
    return switched(d, rc, ns);
}

static int remove_patch(bk_device *d, words rest) {
    bk_smp_name name = {0};
    if (!bk_smp_name_ok(rest.p, rest.n)) return no_such(d, rest);
    memcpy(name, rest.p, rest.n);
    int rc = bk_device_remove(d, name);
    if (rc) return rc;
    bk_console_put("removed ");
    bk_console_put(name);
    bk_console_put("\n");
    return BK_RC_OK;
}

static int verify(bk_device *d, words rest) {
    bool ok;
    (void)rest;
    int rc = bk_device_verify(d, &(bk_facts){0}, &ok);
    if (!rc) bk_console_put(ok ? "ok\n" : "NOT ok\n");
    return rc;
}

static int reset(bk_device *d, words rest) {
    (void)rest;
    d->reset_asked = true;
    return BK_RC_OK;
}

#ifndef BK_SWITCHER

static int ask(bk_device *d, words rest) {
    int rc = bk_device_ask(d, rest.p, rest.n, BK_SMP_MAX_TOKENS);
    if (!rc) d->answer.shown = true;
    return rc;
}

static int bench(bk_device *d, words rest) {
    (void)rest;
    return bk_device_bench(d, &(bk_facts){0});
}

static int logits(bk_device *d, words rest) {
    uint8_t digest[32];
    int rc = bk_device_logits(d, rest.p, rest.n, digest);
    if (rc) return rc;
    bk_console_put_hex(digest, sizeof digest);
    bk_console_put("\n");
    return BK_RC_OK;
}

#endif

typedef struct {
    const char *name;
    int (*answer)(bk_device *d, words rest);
} verb;

static const verb verbs[] = {
    {"help", help},         {"info", info},       {"list", list},
    {"use", use},           {"off", off},         {"rollback", rollback},
    {"rm", remove_patch},   {"verify", verify},   {"reset", reset},
#ifndef BK_SWITCHER
    {"ask", ask},           {"bench", bench},     {"logits", logits},
#endif
};

static void show_error(const bk_device *d, int rc) {
    bk_console_put("error: ");
    bk_console_put(bk_rc_text(BK_SMP_GROUP_BK, rc));
    if (d->detail[0]) {
        bk_console_put(": ");
        bk_console_put(d->detail);
    }
    bk_console_put("\n");
}

void bk_shell_answer(bk_device *d, const char *line, size_t n) {
    words rest = {line, n};
    words name = take_word(&rest);
    if (!name.n) return;
    d->detail[0] = 0;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strlen(verbs[i].name) != name.n || memcmp(verbs[i].name, name.p, name.n)) continue;
        int rc = verbs[i].answer(d, rest);
        if (rc) show_error(d, rc < 0 ? (int)bk_rc_from_error(rc) : rc);
        return;
    }
    char text[80];
    bk_say s;
    bk_say_start(&s, text, sizeof text);
    bk_say_text(&s, "unknown command ");
    bk_say_quoted(&s, name.p, name.n);
    bk_say_text(&s, "; try help\n");
    bk_console_put(text);
}
