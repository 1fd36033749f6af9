/* bk_error.c: every error's name, and what it says about a file, patch or call of that name. */
#include "bk_error.h"

#include <stddef.h>

static const struct {
    int error;
    const char *name, *text;
} errors[] = {
    {BK_OK, "OK", "is as it should be"},
    {BK_ERR_TRUNCATED, "TRUNCATED", "is truncated: it ends within a field"},
    {BK_ERR_MAGIC, "MAGIC", "is not a GGUF file"},
    {BK_ERR_VERSION, "VERSION", "has a format version that is not read here"},
    {BK_ERR_MALFORMED, "MALFORMED", "breaks its format's rules"},
    {BK_ERR_TENSOR_TYPE, "TENSOR_TYPE", "holds a tensor of a type that is not read here"},
    {BK_ERR_MISSING, "MISSING", "lacks a key or tensor that its architecture needs"},
    {BK_ERR_SHAPE, "SHAPE", "has a tensor whose shape disagrees with its header"},
    {BK_ERR_ARCH, "ARCH", "is of another architecture"},
    {BK_ERR_LIMIT, "LIMIT", "is too large"},
    {BK_ERR_TOKENIZER, "TOKENIZER", "has a tokenizer that is not read here"},
    {BK_ERR_MEMORY, "MEMORY", "needs more memory than it was given"},
    {BK_ERR_CONTEXT, "CONTEXT", "has more tokens than the context holds"},
    {BK_ERR_TOKEN, "TOKEN", "has a token id outside the vocabulary"},
    {BK_ERR_ARGUMENT, "ARGUMENT", "was asked for what the interface forbids"},
    {BK_ERR_PATCH_MODEL, "PATCH_MODEL", "is for another model"},
    {BK_ERR_PATCH_UNBOUND, "PATCH_UNBOUND", "is unbound: it names no model"},
    {BK_ERR_PATCH_RANGE, "PATCH_RANGE",
     "flips a layer, row, group or bit that the model does not have"},
    {BK_ERR_PATCH_CRC, "PATCH_CRC",
     "does not match the weights: the CRC of the rows it flips differs"},
    {BK_ERR_PATCH_SIGNED, "PATCH_SIGNED", "is signed (COSE)"},
    {BK_ERR_READ_ONLY, "READ_ONLY", "cannot be applied in place: the weights are read-only"},
    {BK_ERR_FRAME, "FRAME", "fails the length, base64 or CRC-16 of a serial frame"},
};

enum { N_ERRORS = sizeof errors / sizeof errors[0] };

static size_t find(int error) {
    size_t i = 0;
    while (i < N_ERRORS && errors[i].error != error) i++;
    return i;
}

const char *bk_error_name(int error) {
    size_t i = find(error);
    return i < N_ERRORS ? errors[i].name : "UNKNOWN";
}

const char *bk_error_text(int error) {
    size_t i = find(error);
    return i < N_ERRORS ? errors[i].text : "failed in a way that this version does not know";
}

int bk_error_at(unsigned index) { return index < N_ERRORS ? errors[index].error : 1; }
