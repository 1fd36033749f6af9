/* bk_runtime.h: what a firmware is linked with besides its store: session/, where a model runs, or
 * switcher/, where something else reads the weights.
 */
#ifndef BK_RUNTIME_H
#define BK_RUNTIME_H

#include "bk_device.h"
#include "bk_port.h"

/* Open it: the session, and the buffers that it needs, become parts, whose port is there already.
 * Says why when no model runs that should. */
void bk_runtime_open(bk_device_parts *parts, const bk_board *board, bk_say *why);

#endif
