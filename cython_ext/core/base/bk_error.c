/* bk_error.c: every error's name and words. */
#include "bk_error.h"

typedef struct {
    int number;
    const char *name, *text;
} error_row;

#define ROW(name, number, text) {name, #name + sizeof "BK_ERR_" - 1, text},
static const error_row errors[] = {BK_ERRORS(ROW)};

static const error_row *find(int error) {
    static const error_row unknown = {BK_OK, "UNKNOWN", "met an error that this version does not know"};
    for (uint32_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].number == error) return &errors[i];
    return &unknown;
}

const char *bk_error_name(int error) { return find(error)->name; }

const char *bk_error_text(int error) { return find(error)->text; }

int bk_error_at(uint32_t index) {
    return index < sizeof errors / sizeof errors[0] ? errors[index].number : BK_OK;
}
