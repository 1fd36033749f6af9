/* test_bpe.c: a small vocabulary, a naive second opinion, exact buffers, tables made to collide. */
#include <stdlib.h>

#include "bk_bpe.h"
#include "bk_pretoken.h"
#include "check.h"

/* ---- a GGUF of nothing but a tokenizer ---- */

enum { MAX_FILE = 1 << 16, N_SPECIAL = 3 };

static uint8_t file[MAX_FILE];
static size_t file_n;

static void put(const void *p, size_t n) {
    memcpy(file + file_n, p, n);
    file_n += n;
}

static void put32(uint32_t v) {
    uint8_t b[4];
    bk_store32_le(b, v);
    put(b, sizeof b);
}

static void put64(uint64_t v) {
    put32((uint32_t)v);
    put32((uint32_t)(v >> 32));
}

static void put_str(const char *s) {
    put64(strlen(s));
    put(s, strlen(s));
}

static void put_key(const char *key, uint32_t type) {
    put_str(key);
    put32(type);
}

static void put_list(const char *key, uint32_t element_type, uint64_t count) {
    put_key(key, BK_KV_ARRAY);
    put32(element_type);
    put64(count);
}

/* The character that stands for a byte, as UTF-8 with a NUL. */
static void put_byte_token(uint32_t byte) {
    uint32_t c = 0x100;
    for (uint32_t b = 0; b <= byte; b++) {
        int plain = (b > 32 && b < 127) || (b > 160 && b != 173);
        if (b == byte && plain) c = b;
        else if (b < byte && !plain) c++;
    }
    char s[3] = {(char)c, 0, 0};
    if (c >= 0x80) {
        s[0] = (char)(0xC0 | c >> 6);
        s[1] = (char)(0x80 | (c & 63));
    }
    put_str(s);
}

/* 256 bytes, `extra` tokens, three special ones; merges. */
static void make_file(const char *const *extra, uint32_t n_extra, const char *const *merges,
                      uint32_t n_merges) {
    static const char *special[N_SPECIAL] = {"<s>", "<s><s>x", "\xc3\xa9 "};
    file_n = 0;
    put("GGUF", 4);
    put32(3);
    put64(0);
    put64(5);
    put_key("tokenizer.ggml.model", BK_KV_STRING);
    put_str("gpt2");
    put_key("tokenizer.ggml.pre", BK_KV_STRING);
    put_str("qwen2");
    put_list("tokenizer.ggml.tokens", BK_KV_STRING, 256 + n_extra + N_SPECIAL);
    for (uint32_t b = 0; b < 256; b++) put_byte_token(b);
    for (uint32_t i = 0; i < n_extra; i++) put_str(extra[i]);
    for (uint32_t i = 0; i < N_SPECIAL; i++) put_str(special[i]);
    put_list("tokenizer.ggml.token_type", BK_KV_I32, 256 + n_extra + N_SPECIAL);
    for (uint32_t i = 0; i < 256 + n_extra; i++) put32(1);
    put32(BK_BPE_CONTROL);
    put32(BK_BPE_CONTROL);
    put32(BK_BPE_USER_DEFINED);
    put_list("tokenizer.ggml.merges", BK_KV_STRING, n_merges);
    for (uint32_t i = 0; i < n_merges; i++) put_str(merges[i]);
}

/* ---- the tokenizer in buffers of exactly the size it asked for ---- */

typedef struct {
    bk_gguf gguf;
    bk_bpe bpe;
    uint8_t *bytes;
    void *mem;
} opened;

static int open_file(opened *o) {
    o->bytes = malloc(file_n);
    memcpy(o->bytes, file, file_n);
    int err = bk_gguf_open(&o->gguf, o->bytes, file_n);
    if (err) return err;
    size_t n = bk_bpe_bytes(&o->gguf), scratch_n = bk_bpe_scratch_bytes(&o->gguf);
    o->mem = malloc(n);
    void *scratch = malloc(scratch_n);
    CHECK(bk_bpe_init(&o->bpe, &o->gguf, o->mem, n - 1, scratch, scratch_n) == BK_ERR_MEMORY);
    CHECK(bk_bpe_init(&o->bpe, &o->gguf, o->mem, n, scratch, scratch_n - 1) == BK_ERR_MEMORY);
    err = bk_bpe_init(&o->bpe, &o->gguf, o->mem, n, scratch, scratch_n);
    free(scratch);
    return err;
}

static void close_file(opened *o) {
    free(o->bytes);
    free(o->mem);
}

/* Encode from an exact copy, into exactly `cap` ids, with exact scratch. */
static int32_t encode(const bk_bpe *b, const char *text, size_t n, bool special, int32_t *out,
                      size_t cap) {
    uint8_t *copy = malloc(n ? n : 1);
    int32_t *ids = malloc((cap ? cap : 1) * sizeof *ids);
    size_t scratch_n = bk_bpe_encode_bytes(n);
    void *scratch = malloc(scratch_n ? scratch_n : 1);
    memcpy(copy, text, n);
    int32_t count = bk_bpe_encode(b, copy, n, special, ids, cap, scratch, scratch_n);
    if (count > 0) memcpy(out, ids, (size_t)count * sizeof *ids);
    free(copy);
    free(ids);
    free(scratch);
    return count;
}

static bool encodes(const bk_bpe *b, const char *text, bool special, const int32_t *ids,
                    int32_t n_ids) {
    int32_t got[64];
    int32_t count = encode(b, text, strlen(text), special, got, 64);
    return count == n_ids && memcmp(got, ids, (size_t)count * sizeof *ids) == 0;
}

#define ENCODES(text, special, ...)                                                                \
    CHECK(encodes(&o.bpe, text, special, (const int32_t[]){__VA_ARGS__},                           \
                  (int32_t)(sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))))

/* ---- cases ---- */

static const char *const EXTRA[] = {"ab",
                                    "ba",
                                    "aba",
                                    "abab",
                                    "bb",
                                    "abb",
                                    "\xc4\xa0"
                                    "a"};
static const char *const MERGES[] = {"b a", "a b", "ab ab", "b b", "a ba", "ab b", "\xc4\xa0 a"};
enum { N_EXTRA = 7, AB = 256, BA, ABA, ABAB, BB, ABB, SPACE_A, S, SSX, USER };

static void known_answers(void) {
    opened o;
    make_file(EXTRA, N_EXTRA, MERGES, N_EXTRA);
    CHECK(open_file(&o) == BK_OK);
    CHECK(o.bpe.eos == -1);
    ENCODES("a", true, 'a');
    ENCODES("ab", true, AB);
    ENCODES("aba", true, ABA); /* b a first, then a ba */
    ENCODES("aab", true, 'a', AB);
    ENCODES("bb", true, BB);
    ENCODES("ab a1", true, AB, SPACE_A, '1');
    ENCODES("x<s>y", true, 'x', S, 'y');
    ENCODES("<s><s>x", true, SSX);
    ENCODES("<s><s>", true, S, S); /* ends where the longer one still could go on */
    ENCODES("<s", true, '<', 's');
    ENCODES("<s>", false, '<', 's', '>');
    ENCODES("\xc3\xa9 ", false, USER);
    CHECK(encode(&o.bpe, "", 0, true, NULL, 0) == 0);
    int32_t ids[8];
    CHECK(encode(&o.bpe, "aaa", 3, true, ids, 2) == BK_ERR_MEMORY);
    CHECK(encode(&o.bpe, "<s><s>", 6, true, ids, 1) == BK_ERR_MEMORY);
    uint32_t scratch[4];
    CHECK(bk_bpe_encode(&o.bpe, (const uint8_t *)"abababab", 8, true, ids, 8, scratch,
                        sizeof scratch) == BK_ERR_MEMORY);
    CHECK(bk_bpe_special(&o.bpe, (const uint8_t *)"<s>", 3) == S);
    CHECK(bk_bpe_special(&o.bpe, (const uint8_t *)"<s>x", 4) == BK_ERR_MISSING);
    CHECK(bk_bpe_special(&o.bpe, (const uint8_t *)"", 0) == BK_ERR_MISSING);
    close_file(&o);
}

static void pieces(void) {
    opened o;
    make_file(EXTRA, N_EXTRA, MERGES, N_EXTRA);
    CHECK(open_file(&o) == BK_OK);
    uint8_t out[8];
    for (int32_t id = 0; id < 256; id++)
        CHECK(bk_bpe_piece(&o.bpe, id, out, 1) == 1 && out[0] == (uint8_t)id);
    CHECK(bk_bpe_piece(&o.bpe, SPACE_A, out, 2) == 2 && memcmp(out, " a", 2) == 0);
    CHECK(bk_bpe_piece(&o.bpe, SPACE_A, out, 1) == BK_ERR_MEMORY);
    CHECK(bk_bpe_piece(&o.bpe, USER, out, 3) == 3 && memcmp(out, "\xc3\xa9 ", 3) == 0);
    CHECK(bk_bpe_piece(&o.bpe, USER, out, 2) == BK_ERR_MEMORY);
    CHECK(bk_bpe_piece(&o.bpe, -1, out, 8) == BK_ERR_TOKEN);
    CHECK(bk_bpe_piece(&o.bpe, USER + 1, out, 8) == BK_ERR_TOKEN);
    CHECK(bk_bpe_type(&o.bpe, S) == BK_BPE_CONTROL && bk_bpe_type(&o.bpe, AB) == 1);
    CHECK(o.bpe.longest == 7);
    close_file(&o);
}

/* BPE as one would explain it: again and again, the first merge of the list that fits anywhere. */
static size_t merge_naively(int32_t *ids, size_t n) {
    static const int32_t rules[N_EXTRA][3] = {{'b', 'a', BA},     {'a', 'b', AB}, {AB, AB, ABAB},
                                              {'b', 'b', BB},     {'a', BA, ABA}, {AB, 'b', ABB},
                                              {' ', 'a', SPACE_A}};
    for (size_t r = 0; r < N_EXTRA; r++) {
        for (size_t i = 0; i + 1 < n; i++) {
            if (ids[i] != rules[r][0] || ids[i + 1] != rules[r][1]) continue;
            ids[i] = rules[r][2];
            memmove(ids + i + 1, ids + i + 2, (n - i - 2) * sizeof *ids);
            n--;
            r = (size_t)-1; /* start over: the new token may fit an earlier rule */
            break;
        }
    }
    return n;
}

static uint32_t seed = 1;

static uint32_t rnd(uint32_t below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void equals_the_naive_way(void) {
    opened o;
    make_file(EXTRA, N_EXTRA, MERGES, N_EXTRA);
    CHECK(open_file(&o) == BK_OK);
    for (int round = 0; round < 2000; round++) {
        char text[40];
        int32_t ids[40], naive[40];
        size_t n = 1 + rnd(40);
        for (size_t i = 0; i < n; i++) naive[i] = text[i] = "ab"[rnd(2)];
        size_t expected = merge_naively(naive, n);
        int32_t count = encode(&o.bpe, text, n, true, ids, n);
        CHECK(count == (int32_t)expected && memcmp(ids, naive, expected * sizeof *ids) == 0);
    }
    close_file(&o);
}

static void any_bytes_come_back(void) {
    opened o;
    make_file(EXTRA, N_EXTRA, MERGES, N_EXTRA);
    CHECK(open_file(&o) == BK_OK);
    for (int round = 0; round < 5000; round++) {
        static const uint8_t likely[] = "ab \n'<s>\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x99\x82\xed\xa0\x80";
        uint8_t text[24], back[24 * 8];
        int32_t ids[24];
        size_t n = rnd(25), at = 0, cuts = 0;
        for (size_t i = 0; i < n; i++)
            text[i] = rnd(3) ? likely[rnd(sizeof likely)] : (uint8_t)rnd(256);
        int32_t count = encode(&o.bpe, (const char *)text, n, round & 1, ids, n);
        CHECK(count >= 0);
        for (int32_t i = 0; i < count; i++)
            at += (size_t)bk_bpe_piece(&o.bpe, ids[i], back + at, sizeof back - at);
        CHECK(at == n && memcmp(back, text, n) == 0);
        while (cuts < n) cuts += bk_pretoken_next(text + cuts, n - cuts);
        CHECK(cuts == n);
    }
    close_file(&o);
}

/* Tokens chosen so that each one's look-up starts in the same slot: refused, not walked. */
static void colliding_tokens(void) {
    enum { N = 1100, SLOTS = 4096, LENGTH = 10 };
    static char text[N][LENGTH];
    static const char *extra[N];
    uint32_t found = 0;
    for (uint32_t i = 0; found < N; i++) {
        snprintf(text[found], LENGTH, "x%u", i);
        uint32_t h = 0x811C9DC5u;
        for (const char *p = text[found]; *p; p++) h = (h ^ (uint8_t)*p) * 0x01000193u;
        if (((h ^ h >> 15) & (SLOTS - 1)) != 9) continue;
        extra[found] = text[found];
        found++;
    }
    opened o;
    make_file(extra, N, MERGES, 0);
    CHECK(open_file(&o) == BK_ERR_LIMIT);
    close_file(&o);
    make_file(extra, N / 2, MERGES, 0);
    CHECK(open_file(&o) == BK_OK);
    close_file(&o);
}

static void damaged_files(void) {
    make_file(EXTRA, N_EXTRA, MERGES, N_EXTRA);
    static uint8_t good[MAX_FILE];
    size_t good_n = file_n;
    memcpy(good, file, good_n);
    for (int round = 0; round < 20000; round++) {
        memcpy(file, good, good_n);
        file_n = round % 4 ? good_n : rnd((uint32_t)good_n) + 1;
        for (uint32_t i = rnd(3); i--;) file[rnd((uint32_t)file_n)] = (uint8_t)rnd(256);
        opened o = {.mem = NULL};
        o.bytes = malloc(file_n);
        memcpy(o.bytes, file, file_n);
        int err = bk_gguf_open(&o.gguf, o.bytes, file_n);
        size_t n = err ? 0 : bk_bpe_bytes(&o.gguf);
        size_t scratch_n = err ? 0 : bk_bpe_scratch_bytes(&o.gguf);
        o.mem = malloc(n + 1);
        void *scratch = malloc(scratch_n + 1);
        if (!err) err = bk_bpe_init(&o.bpe, &o.gguf, o.mem, n, scratch, scratch_n);
        int32_t ids[16];
        if (!err) CHECK(encode(&o.bpe, "aba <s>\xc3\xa9 bb", 11, true, ids, 11) > 0);
        free(scratch);
        close_file(&o);
    }
}

int main(void) {
    known_answers();
    pieces();
    equals_the_naive_way();
    any_bytes_come_back();
    colliding_tokens();
    damaged_files();
    return CHECK_RESULT();
}
