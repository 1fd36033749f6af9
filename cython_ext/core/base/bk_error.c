/* bk_error.c: every error's name and words. */
#include "bk_error.h"

/* One text after the other: pointers to each would take a small chip's flash. */
#define NUMBER(name, number, text) number,
#define NAME(name, number, text) #name "\0"
#define TEXT(name, number, text) text "\0"
static const int8_t numbers[] = {BK_PATCH_ERRORS(NUMBER) BK_OTHER_ERRORS(NUMBER)};
static const char names[] = BK_PATCH_ERRORS(NAME) BK_OTHER_ERRORS(NAME) "BK_ERR_UNKNOWN";
static const char patch_texts[] = BK_PATCH_ERRORS(TEXT);
static const char other_texts[] = BK_OTHER_ERRORS(TEXT);
static const char unknown[] = "met an error that this version does not know";

#define ONE(name, number, text) +1
enum { N = sizeof numbers, N_PATCH = 0 BK_PATCH_ERRORS(ONE) };

static uint32_t find(int error) {
    uint32_t i = 0;
    while (i < N && numbers[i] != error) i++;
    return i;
}

static const char *nth(const char *list, uint32_t n) {
    while (n--)
        while (*list++) {
        }
    return list;
}

const char *bk_error_name(int error) { return nth(names, find(error)) + sizeof "BK_ERR_" - 1; }

const char *bk_error_patch_text(int error) {
    uint32_t i = find(error);
    return i < N_PATCH ? nth(patch_texts, i) : unknown;
}

const char *bk_error_text(int error) {
    uint32_t i = find(error);
    return N_PATCH <= i && i < N ? nth(other_texts, i - N_PATCH) : bk_error_patch_text(error);
}

int bk_error_at(uint32_t index) { return index < N ? numbers[index] : BK_OK; }
