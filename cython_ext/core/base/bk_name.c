/* bk_name.c: the rule for names. */
#include "bk_name.h"

#include "bk_config.h"

static bool letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool bk_name_ok(const char *name, size_t n) {
    if (n == 0 || n > BK_NAME_MAX || !letter_or_digit(name[0])) return false;
    for (size_t i = 1; i < n; i++)
        if (!letter_or_digit(name[i]) && name[i] != '.' && name[i] != '_' && name[i] != '-')
            return false;
    return true;
}

/* newlib's strcmp alone is 700 bytes. */
int bk_name_order(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a - *b;
}
