/* facts.c: keys and values for programs and humans. */
#include "bk_facts.h"

#include <string.h>

#include "bk_console.h"

static void key_line(const char *key) {
    bk_console_put(key);
    bk_console_put(": ");
}

void bk_facts_uint(bk_facts *f, const char *key, uint32_t v) {
    if (f->fields) {
        bk_smp_put_uint(f->fields, key, v);
        return;
    }
    key_line(key);
    bk_console_put_uint(v);
    bk_console_put("\n");
}

void bk_facts_bool(bk_facts *f, const char *key, bool v) {
    if (f->fields) {
        bk_smp_put_bool(f->fields, key, v);
        return;
    }
    key_line(key);
    bk_console_put(v ? "True\n" : "False\n");
}

void bk_facts_text(bk_facts *f, const char *key, const char *text, size_t n) {
    if (f->fields) {
        bk_smp_put_text(f->fields, key, text, n);
        return;
    }
    key_line(key);
    bk_console_put_bytes(text, n);
    bk_console_put("\n");
}

void bk_facts_bytes(bk_facts *f, const char *key, const uint8_t *p, size_t n) {
    if (f->fields) {
        bk_smp_put_bytes(f->fields, key, p, n);
        return;
    }
    key_line(key);
    bk_console_put_hex(p, n);
    bk_console_put("\n");
}

void bk_facts_begin(bk_facts *f, const char *key) {
    f->listing = false;
    if (f->fields) bk_smp_begin_texts(f->fields, key);
    else key_line(key);
}

void bk_facts_add(bk_facts *f, const char *text) {
    if (f->fields) {
        bk_smp_add_text(f->fields, text, strlen(text));
        return;
    }
    if (f->listing) bk_console_put(" ");
    bk_console_put(text);
    f->listing = true;
}

void bk_facts_end(bk_facts *f) {
    if (f->fields) bk_smp_end_texts(f->fields);
    else bk_console_put(f->listing ? "\n" : "-\n");
}
