/* bk_error.c: every error's name and words. */
#include "bk_error.h"

/* One text after the other: pointers to each would take a small chip's flash. */
#define NUMBER(name, number, text) number,
#define NAME(name, number, text) #name "\0"
#define TEXT(name, number, text) text "\0"
static const int8_t numbers[] = {BK_ERRORS(NUMBER)};
static const char names[] = BK_ERRORS(NAME) "BK_ERR_UNKNOWN";
static const char texts[] = BK_ERRORS(TEXT) "met an error that this version does not know";

static const char *find(const char *list, int error) {
    for (uint32_t i = 0; i < sizeof numbers && numbers[i] != error; i++)
        while (*list++) {
        }
    return list;
}

const char *bk_error_name(int error) { return find(names, error) + sizeof "BK_ERR_" - 1; }

const char *bk_error_text(int error) { return find(texts, error); }

int bk_error_at(uint32_t index) { return index < sizeof numbers ? numbers[index] : BK_OK; }
