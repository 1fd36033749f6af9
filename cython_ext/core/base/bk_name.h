/* bk_name.h: what may name a patch: [a-z0-9][a-z0-9._-]{0,31}. */
#ifndef BK_NAME_H
#define BK_NAME_H

#include <stdbool.h>
#include <stddef.h>

bool bk_name_ok(const char *name, size_t n);

#endif
