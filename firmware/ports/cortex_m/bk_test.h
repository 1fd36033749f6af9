/* bk_test.h: how a test program prints and ends. In any other program none of these exist, so the
 * references to them are weak: NULL where test/semihost.c is not linked. */
#ifndef BK_TEST_H
#define BK_TEST_H

void bk_test_put(char c) __attribute__((weak));
void bk_test_text(const char *s) __attribute__((weak));
_Noreturn void bk_test_exit(int status) __attribute__((weak));

#endif
