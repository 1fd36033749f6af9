/* bk_store_device.h: the store of this board (bk_store.h), as a device wants it. */
#ifndef BK_STORE_DEVICE_H
#define BK_STORE_DEVICE_H

#include "bk_device_port.h"
#include "bk_device_store.h"
#include "bk_flash.h"

/* Mount it; what is to be known of it goes to the port's log. */
const bk_device_store *bk_store_device_open(const bk_flash *flash, const bk_device_port *port);

#endif
