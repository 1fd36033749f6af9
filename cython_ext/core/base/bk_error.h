/* bk_error.h: the one list of ways in which the core says no. Zero is success.
 *
 * A row is an error's name, its number and what is wrong with the thing refused, as the words that
 * follow that thing's name ("arith is for another model"). To add an error, add a row.
 */
#ifndef BK_ERROR_H
#define BK_ERROR_H

#include <stdint.h>

/* clang-format off */
/* What a patch meets, too: a device that takes patches has the words of these alone. */
#define BK_PATCH_ERRORS(row) \
    row(BK_ERR_TRUNCATED, -1, "is truncated: it ends within a field") \
    row(BK_ERR_LIMIT, -9, "is beyond what this build holds") \
    row(BK_ERR_PATCH_MODEL, -40, "is for another model") \
    row(BK_ERR_PATCH_UNBOUND, -41, "is unbound: it names no model") \
    row(BK_ERR_PATCH_RANGE, -42, "flips a layer, row, group or bit that the model does not have") \
    row(BK_ERR_PATCH_CRC, -43, \
        "does not match the weights: the CRC of the rows it flips differs") \
    row(BK_ERR_PATCH_SIGNED, -44, "is signed (COSE)") \
    row(BK_ERR_READ_ONLY, -45, "cannot be applied in place: the weights are read-only")

#define BK_OTHER_ERRORS(row) \
    /* GGUF */ \
    row(BK_ERR_MAGIC, -2, "is not a GGUF file") \
    row(BK_ERR_VERSION, -3, "has a format version that is not read here") \
    row(BK_ERR_MALFORMED, -4, "breaks the rules of its format") \
    row(BK_ERR_TENSOR_TYPE, -5, "holds a tensor of a type other than F32, F16, BF16 or Q1_0") \
    row(BK_ERR_MISSING, -6, "lacks a key, a tensor or a token that it needs") \
    row(BK_ERR_SHAPE, -7, "has a shape that disagrees with the model's header") \
    row(BK_ERR_ARCH, -8, "is of another architecture or rope scaling") \
    row(BK_ERR_TOKENIZER, -10, "has another kind of tokenizer") \
    /* running */ \
    row(BK_ERR_MEMORY, -20, "needs more memory than there is for it") \
    row(BK_ERR_CONTEXT, -21, "has more tokens than the context holds") \
    row(BK_ERR_TOKEN, -22, "has a token id outside the vocabulary") \
    row(BK_ERR_ARGUMENT, -23, "is a call that the interface forbids") \
    /* link */ \
    row(BK_ERR_FRAME, -60, "is a serial frame that fails its length, base64 or CRC-16")
/* clang-format on */

#define BK_ERROR_NUMBER(name, number, text) name = number,
typedef enum {
    BK_OK = 0,
    BK_PATCH_ERRORS(BK_ERROR_NUMBER) BK_OTHER_ERRORS(BK_ERROR_NUMBER)
} bk_error;
#undef BK_ERROR_NUMBER

/* Name, without "BK_ERR_", and words of an error; never NULL. */
const char *bk_error_name(int error);
const char *bk_error_text(int error);

/* The same words, of an error that a patch can meet; those of any other are not known. */
const char *bk_error_patch_text(int error);

/* The list's errors in order; BK_OK after the last. */
int bk_error_at(uint32_t index);

#endif
