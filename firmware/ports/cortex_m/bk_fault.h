/* bk_fault.h: a fault or an interrupt that nobody expects: print where, then reset. */
#ifndef BK_FAULT_H
#define BK_FAULT_H

void bk_fault_entry(void);

#endif
