/* bk_cbor.h: deterministic CBOR (RFC 8949 4.2.1) on top of zcbor, for values of unknown shape.
 *
 * zcbor refuses long heads and indefinite lengths by itself (enforce_canonical); what it leaves
 * to its caller is here: key order, shortest floats, UTF-8, and bounded nesting, not recursion.
 */
#ifndef BK_CBOR_H
#define BK_CBOR_H

#include <stdbool.h>

#include "zcbor_decode.h"

/* Containers within containers: a zcbor_state_t (about 40 bytes on a Cortex-M) of stack each. */
enum { BK_CBOR_DEPTH = 8 };

/* Consume one value: integer, string, boolean, null, float, list, or map with text keys. The state
 * needs BK_CBOR_DEPTH free backups. */
bool bk_cbor_any(zcbor_state_t *z);

/* Consume a text string that is valid UTF-8. */
bool bk_cbor_text(zcbor_state_t *z, struct zcbor_string *text);

#endif
