/* bk_bpe_table.h: the layout that bk_bpe_init.c writes and bk_bpe.c reads; nobody else needs it. */
#ifndef BK_BPE_TABLE_H
#define BK_BPE_TABLE_H

#include "bk_bpe.h"

enum { BK_BPE_RANK_BITS = 22, BK_BPE_ID_BITS = 21, BK_BPE_STRIDE = 8, BK_BPE_NORMAL = 1 };

/* No id is 2^21 - 1, so this is no merge. */
#define BK_BPE_EMPTY UINT64_MAX

static inline uint64_t bk_bpe_pair(uint32_t left, uint32_t right) {
    return (uint64_t)left << BK_BPE_ID_BITS | right;
}

static inline uint32_t bk_bpe_pair_hash(uint32_t left, uint32_t right) {
    uint32_t h = left * 0x9E3779B1u ^ right * 0x85EBCA77u;
    h = (h ^ h >> 15) * 0x2C1B3C6Du;
    return h ^ h >> 13;
}

static inline bk_str bk_bpe_token(const bk_bpe *b, uint32_t id) {
    const uint8_t *at = b->tokens + b->index[id / BK_BPE_STRIDE];
    for (uint32_t skip = id % BK_BPE_STRIDE; skip; skip--) (void)bk_gguf_array_str(&at);
    return bk_gguf_array_str(&at);
}

/* GPT-2 writes each byte as a printable character: itself where Latin-1 prints it (33..126,
 * 161..172, 174..255), else U+0100 and up, in order. As UTF-8, one or two bytes. */
static inline size_t bk_bpe_map(uint8_t byte, char out[2]) {
    uint32_t c = byte;
    if (c <= 32) c += 0x100;
    else if (c >= 127 && c <= 160) c += 0x100 + 33 - 127;
    else if (c == 173) c = 0x143;
    out[0] = (char)c;
    if (c < 0x80) return 1;
    out[0] = (char)(0xC0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3F));
    return 2;
}

/* The byte that the character at s[*at] stands for, moving *at past it; -1 when it is no such. */
static inline int32_t bk_bpe_unmap(const uint8_t *s, size_t n, size_t *at) {
    uint32_t c = s[(*at)++];
    if (c < 0x80) return c > 32 && c < 127 ? (int32_t)c : -1;
    if (c < 0xC2 || c > 0xC5 || *at == n || (s[*at] & 0xC0) != 0x80) return -1;
    c = (c & 0x1F) << 6 | (s[(*at)++] & 0x3Fu);
    if (c <= 0x120)
        return c >= 0x100 ? (int32_t)(c - 0x100) : c > 160 && c != 173 ? (int32_t)c : -1;
    if (c <= 0x142) return (int32_t)(c - 0x121 + 127);
    return c == 0x143 ? 173 : -1;
}

#endif
