/* bk_bpe.h: byte-level BPE (GPT-2's, cut by Qwen2's pre-tokenizer) from a GGUF's own tables.
 *
 * Token texts stay in the GGUF's bytes; what is added is a table of merges and an index, in memory
 * that the caller owns. Bytes in, bytes out: nothing is normalised (as in llama.cpp; Hugging Face
 * applies NFC first), and bytes that are no UTF-8 are encoded byte by byte, so that decoding the
 * ids gives back exactly the text.
 */
#ifndef BK_BPE_H
#define BK_BPE_H

#include <stdbool.h>

#include "bk_gguf.h"

/* Bounds: of the packed merge table (ids, ranks), and of a text, so that sizes fit 32 bits. */
enum { BK_BPE_MAX_TOKENS = 0x1FFFFF, BK_BPE_MAX_MERGES = 0x3FFFFF, BK_BPE_MAX_TEXT = 0x7FFFFFF };

/* Values of tokenizer.ggml.token_type that matter. Their texts are matched as they stand, before
 * the text is cut: user-defined ones always, control ones only when the caller allows it. */
enum { BK_BPE_CONTROL = 3, BK_BPE_USER_DEFINED = 4 };

typedef struct {
    const uint8_t *tokens; /* first element of tokenizer.ggml.tokens */
    const uint8_t *types;  /* [n_tokens] int32; NULL when every token is a normal one */
    uint32_t n_tokens, n_merges, n_special;
    uint32_t mask;           /* slots of `pairs` - 1 */
    uint32_t longest;        /* bytes of the longest token's text: no piece is larger */
    int32_t eos;             /* -1 when the file names none */
    const uint64_t *pairs;   /* [mask + 1] open addressing: left << 43 | right << 22 | rank */
    const uint32_t *results; /* [n_merges] the token that a merge makes */
    const uint32_t *index;   /* [ceil(n_tokens / 8)] offset in `tokens` of every 8th one */
    const uint32_t *byte_id; /* [256] */
    const uint32_t *special; /* [n_special] ids, ascending by text */
    uint8_t starts[32];      /* bit set of the bytes with which a special token begins */
} bk_bpe;

/* Bytes that bk_bpe_init needs: `mem` for the life of the tokenizer, `scratch` during the call;
 * 0 when the file has no usable tables (bk_bpe_init then says why). For 512 tokens and 253 merges
 * 6.3 KiB and 6 KiB; for Qwen's 151,936 tokens 2.7 MiB and 1.6 MiB. */
size_t bk_bpe_bytes(const bk_gguf *g);
size_t bk_bpe_scratch_bytes(const bk_gguf *g);

/* Build the tables. Both buffers are 8-byte aligned. Errors: BK_ERR_MISSING (a key, or a token for
 * one of the 256 bytes), BK_ERR_TOKENIZER (another model or pre-tokenizer), BK_ERR_MALFORMED (wrong
 * types or counts, a token or merge twice, a merge of unknown tokens), BK_ERR_LIMIT. */
int bk_bpe_init(bk_bpe *b, const bk_gguf *g, void *mem, size_t n, void *scratch, size_t scratch_n);

/* Scratch that encodes any text of n bytes: 16 to 24 n. Text whose longest piece between two cuts
 * has m bytes needs no more than what is right for m. */
size_t bk_bpe_encode_bytes(size_t n);

/* Encode text[n] into ids[cap] (cap = n always suffices); scratch is 4-byte aligned. Returns the
 * number of ids, or BK_ERR_MEMORY (ids or scratch too small) or BK_ERR_LIMIT. Time is
 * O(n log n) whatever the text. `special` allows control tokens. */
int32_t bk_bpe_encode(const bk_bpe *b, const uint8_t *text, size_t n, bool special, int32_t *ids,
                      size_t cap, void *scratch, size_t scratch_n);

/* The bytes that token `id` stands for, a special token's being its text. Returns their number,
 * or BK_ERR_TOKEN or BK_ERR_MEMORY (more than cap; b->longest always suffices). */
int32_t bk_bpe_piece(const bk_bpe *b, int32_t id, uint8_t *out, size_t cap);

/* The type of token `id` in the GGUF (1 is a normal one); BK_ERR_TOKEN. */
int32_t bk_bpe_type(const bk_bpe *b, int32_t id);

/* The id of the special token with this text; BK_ERR_MISSING. */
int32_t bk_bpe_special(const bk_bpe *b, const uint8_t *text, size_t n);

#endif
