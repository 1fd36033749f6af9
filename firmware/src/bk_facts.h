/* bk_facts.h: keys and values that go to a program as CBOR, or to a human as lines. */
#ifndef BK_FACTS_H
#define BK_FACTS_H

#include "bk_smp.h"

typedef struct {
    bk_smp_fields *fields; /* NULL: lines on the console */
    bool listing;          /* within an array, and its first text came */
} bk_facts;

void bk_facts_uint(bk_facts *f, const char *key, uint32_t v);
void bk_facts_bool(bk_facts *f, const char *key, bool v);
void bk_facts_text(bk_facts *f, const char *key, const char *text, size_t n);
void bk_facts_bytes(bk_facts *f, const char *key, const uint8_t *p, size_t n);
void bk_facts_begin(bk_facts *f, const char *key);
void bk_facts_add(bk_facts *f, const char *text);
void bk_facts_end(bk_facts *f);

#endif
