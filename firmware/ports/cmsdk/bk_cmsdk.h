/* bk_cmsdk.h: registers of Arm's CMSDK UART and watchdog (DDI 0479), as the MPS boards have them. */
#ifndef BK_CMSDK_H
#define BK_CMSDK_H

#include "bk_cortex_m.h"

typedef struct {
    volatile uint32_t data, state, ctrl, intstatus, bauddiv;
} bk_cmsdk_uart;

enum {
    BK_CMSDK_TX_FULL = 1,
    BK_CMSDK_RX_FULL = 2,
    BK_CMSDK_RX_OVERRUN = 8, /* state */
    BK_CMSDK_TX = 1,
    BK_CMSDK_RX = 2, /* ctrl, intstatus */
    BK_CMSDK_TX_INT = 4,
    BK_CMSDK_RX_INT = 8 /* ctrl */
};

#endif
