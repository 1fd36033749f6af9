/* bk_semihost.h: a test program's way out of the emulator (Arm semihosting). Without a debugger or
 * an emulator behind it, a call is a fault: only `pio test` builds make any. */
#ifndef BK_SEMIHOST_H
#define BK_SEMIHOST_H

#ifdef PIO_UNIT_TESTING
void bk_semihost_put(char c);
void bk_semihost_text(const char *s);
_Noreturn void bk_semihost_exit(int status);
#endif

#endif
