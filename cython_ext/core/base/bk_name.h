/* bk_name.h: what may name a patch: [a-z0-9][a-z0-9._-]{0,31}. */
#ifndef BK_NAME_H
#define BK_NAME_H

#include <stdbool.h>
#include <stddef.h>

bool bk_name_ok(const char *name, size_t n);

/* Below, equal to or above 0, as `a` sorts before, with or after `b`; both end in a NUL. */
int bk_name_order(const char *a, const char *b);

#endif
