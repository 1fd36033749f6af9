/* bk_facts.h: keys and values that go to a program as CBOR, or to a human as lines. */
#ifndef BK_FACTS_H
#define BK_FACTS_H

#include "bk_smp.h"

/* Where text for a human goes. */
typedef struct {
    void (*put)(void *to, const char *p, size_t n);
    void *to;
} bk_text_sink;

void bk_text_put(const bk_text_sink *s, const char *text);
void bk_text_put_uint(const bk_text_sink *s, uint64_t v);
void bk_text_put_hex(const bk_text_sink *s, const uint8_t *p, size_t n);

typedef struct {
    bk_smp_fields *fields; /* NULL: lines to the sink */
    const bk_text_sink *lines;
    bool listing;          /* within an array, and its first text came */
} bk_facts;

void bk_facts_uint(bk_facts *f, const char *key, uint64_t v);
void bk_facts_bool(bk_facts *f, const char *key, bool v);
void bk_facts_text(bk_facts *f, const char *key, const char *text, size_t n);
void bk_facts_bytes(bk_facts *f, const char *key, const uint8_t *p, size_t n);
void bk_facts_begin(bk_facts *f, const char *key);
void bk_facts_add(bk_facts *f, const char *text, size_t n);
void bk_facts_end(bk_facts *f);

#endif
