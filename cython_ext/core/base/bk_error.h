/* bk_error.h: the one list of ways in which the core says no. Zero is success. */
#ifndef BK_ERROR_H
#define BK_ERROR_H

typedef enum {
    BK_OK = 0,
    /* GGUF */
    BK_ERR_TRUNCATED = -1,     /* a length or offset points past the end of the bytes given */
    BK_ERR_MAGIC = -2,         /* not a GGUF file */
    BK_ERR_VERSION = -3,       /* a format version this core does not read */
    BK_ERR_MALFORMED = -4,     /* a field breaks its format's rules */
    BK_ERR_TENSOR_TYPE = -5,   /* a tensor of a type other than F32, F16, BF16 or Q1_0 */
    BK_ERR_MISSING = -6,       /* a key or tensor that the architecture needs is absent */
    BK_ERR_SHAPE = -7,         /* a tensor's dimensions disagree with the header's */
    BK_ERR_ARCH = -8,          /* an architecture other than qwen3 */
    BK_ERR_LIMIT = -9,         /* beyond a bound of bk_config.h */
    BK_ERR_TOKENIZER = -10,    /* a tokenizer other than gpt2 cut by qwen2 */
    /* running */
    BK_ERR_MEMORY = -20,       /* the caller's buffer is too small */
    BK_ERR_CONTEXT = -21,      /* more tokens than the context holds */
    BK_ERR_TOKEN = -22,        /* a token id outside the vocabulary */
    BK_ERR_ARGUMENT = -23,     /* a call that the interface forbids */
    /* patches */
    BK_ERR_PATCH_MODEL = -40,  /* the patch names another model id */
    BK_ERR_PATCH_UNBOUND = -41,/* the patch names no model, and the caller did not allow that */
    BK_ERR_PATCH_RANGE = -42,  /* a layer, projection, row, group or bit that the model lacks */
    BK_ERR_PATCH_CRC = -43,    /* the rows to be flipped are not the rows the patch was made for */
    BK_ERR_PATCH_SIGNED = -44, /* a COSE envelope where bare CBOR was expected */
    BK_ERR_READ_ONLY = -45,    /* in-place flips asked of weights that may not be written */
    /* link */
    BK_ERR_FRAME = -60,        /* a serial frame that fails its length, base64 or CRC-16 */
} bk_error;

/* An error's constant without BK_ERR_; what goes behind the name of what is wrong; the errors one
 * after the other, 1 after the last. */
const char *bk_error_name(int error);
const char *bk_error_text(int error);
int bk_error_at(unsigned index);

#endif
