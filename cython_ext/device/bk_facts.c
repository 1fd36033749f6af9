/* bk_facts.c: keys and values for programs and humans. */
#include "bk_facts.h"

#include <string.h>

#include "bk_say.h"

void bk_text_put(const bk_text_sink *s, const char *text) { s->put(s->to, text, strlen(text)); }

void bk_text_put_uint(const bk_text_sink *s, uint64_t v) {
    char digits[21];
    bk_say say;
    bk_say_start(&say, digits, sizeof digits);
    bk_say_uint(&say, v);
    s->put(s->to, digits, say.n);
}

void bk_text_put_hex(const bk_text_sink *s, const uint8_t *p, size_t n) {
    char two[3];
    for (size_t i = 0; i < n; i++) {
        bk_say say;
        bk_say_start(&say, two, sizeof two);
        bk_say_hex(&say, p + i, 1);
        s->put(s->to, two, say.n);
    }
}

static void key_line(const bk_facts *f, const char *key) {
    bk_text_put(f->lines, key);
    bk_text_put(f->lines, ": ");
}

void bk_facts_uint(bk_facts *f, const char *key, uint64_t v) {
    if (f->fields) {
        bk_smp_put_uint(f->fields, key, v);
        return;
    }
    key_line(f, key);
    bk_text_put_uint(f->lines, v);
    bk_text_put(f->lines, "\n");
}

void bk_facts_bool(bk_facts *f, const char *key, bool v) {
    if (f->fields) {
        bk_smp_put_bool(f->fields, key, v);
        return;
    }
    key_line(f, key);
    bk_text_put(f->lines, v ? "True\n" : "False\n");
}

void bk_facts_text(bk_facts *f, const char *key, const char *text, size_t n) {
    if (f->fields) {
        bk_smp_put_text(f->fields, key, text, n);
        return;
    }
    key_line(f, key);
    f->lines->put(f->lines->to, text, n);
    bk_text_put(f->lines, "\n");
}

void bk_facts_bytes(bk_facts *f, const char *key, const uint8_t *p, size_t n) {
    if (f->fields) {
        bk_smp_put_bytes(f->fields, key, p, n);
        return;
    }
    key_line(f, key);
    bk_text_put_hex(f->lines, p, n);
    bk_text_put(f->lines, "\n");
}

void bk_facts_begin(bk_facts *f, const char *key) {
    f->listing = false;
    if (f->fields) bk_smp_begin_texts(f->fields, key);
    else key_line(f, key);
}

void bk_facts_add(bk_facts *f, const char *text, size_t n) {
    if (f->fields) {
        bk_smp_add_text(f->fields, text, n);
        return;
    }
    if (f->listing) bk_text_put(f->lines, " ");
    f->lines->put(f->lines->to, text, n);
    f->listing = true;
}

void bk_facts_end(bk_facts *f) {
    if (f->fields) bk_smp_end_texts(f->fields);
    else bk_text_put(f->lines, f->listing ? "\n" : "-\n");
}
