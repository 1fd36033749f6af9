/* bk_pretoken.h: cuts text where Qwen2's pre-tokenizer does; BPE never merges across a cut.
 *
 * A hand-written matcher, equal at every position to the leftmost match of
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|
 *   \s*[\r\n]+|\s+(?!\S)|\s+
 * Text is UTF-8. A byte that starts no valid sequence counts as one code point of no class (as
 * U+FFFD would), so any bytes can be cut and none is lost.
 */
#ifndef BK_PRETOKEN_H
#define BK_PRETOKEN_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the first piece of text[n]; n >= 1. All cuts of a text take time linear in it. */
size_t bk_pretoken_next(const uint8_t *text, size_t n);

#endif
