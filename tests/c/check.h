/* check.h: the whole test framework: count failures, say where, return their sum. */
#ifndef BK_TEST_CHECK_H
#define BK_TEST_CHECK_H

#include <stdio.h>

static int check_failures;

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            check_failures++;                                                                      \
        }                                                                                          \
    } while (0)

/* The value of main: 0 when every check held. */
#define CHECK_RESULT() (check_failures ? 1 : 0)

#endif
