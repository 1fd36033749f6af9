/* bk_session.h: the model on this board, and one conversation with it.
 *
 * A conversation computes one token at a time, so that whoever waits at the UART is served between
 * two tokens. There is one KV cache: when another talk takes a step, or the active set changes,
 * what the cache held is dropped, and the talk reads its tokens again.
 */
#ifndef BK_SESSION_H
#define BK_SESSION_H

#include "bk_port.h"

#include "bk_bpe.h"
#include "bk_forward.h"
#include "bk_open.h"
#include "bk_overlay_build.h"
#include "bk_pack.h"
#include "bk_say.h"
#include "bk_utf8.h"

enum { BK_STOPS = 3, BK_TALKS = 2 };

typedef struct {
    int32_t *tokens; /* [ctx + 1] the prompt, then what was generated */
    uint32_t n, left; /* tokens so far; tokens still allowed */
    bool done;
    bk_utf8 text;
} bk_talk;

typedef struct {
    const bk_board *board;
    bk_str name; /* the model's own; "?" where it has none */
    bk_model model;
    bk_bpe bpe;
    bk_state state;
    float *logits;   /* [vocab] */
    uint8_t *piece;  /* [bpe.longest] */
    uint8_t *out;    /* [bk_talk_room] text of a probe's answer */
    uint8_t *answer; /* [answer_cap] text for the talk that a host reads */
    size_t answer_cap;
    uint8_t *overlay; /* [overlay_bytes] all that is left, 8-byte aligned; a set that needs more is
                       * refused */
    size_t overlay_bytes;
    size_t used_bytes; /* of the board's memory, by all but overlays */
    int32_t stops[BK_STOPS]; /* tokens that end an answer; -1: none */
    bk_talk talks[BK_TALKS]; /* the host's, and the patches' own probes */
    const bk_talk *cached; /* whose tokens the KV cache holds */
    uint8_t sha256[32]; /* of the model's bytes, as found at the start */
    bool known; /* there is a model: patches are checked against it */
    bool runs; /* and there is memory to run it */
} bk_session;

/* Open the board's model in the board's memory. Where that is not possible, says why, and known
 * and runs tell what is. */
void bk_session_open(bk_session *s, const bk_board *board, bk_say *why);

/* SHA-256 over all bytes of the model; feeds the watchdog. */
void bk_session_hash(const bk_session *s, uint8_t digest[32]);

/* The weights or the overlay changed, or the cache's memory was used otherwise. */
void bk_session_forget(bk_session *s);

/* Begin to continue a prompt. Returns the number of its tokens: from ctx on it leaves no room for
 * an answer, and nothing is begun. BK_ERR_ARGUMENT: it has none; BK_ERR_CONTEXT: too many. */
int32_t bk_talk_start(bk_session *s, bk_talk *t, const char *prompt, size_t n, uint32_t max_tokens);

/* One pass over one token; feeds the watchdog. New text goes to out; at least bk_talk_room bytes
 * of it. Returns the text's bytes; t->done says whether more may come. */
size_t bk_talk_step(bk_session *s, bk_talk *t, uint8_t *out);
size_t bk_talk_room(const bk_session *s);

/* Encode a text; returns the number of its tokens, which are there when they are at most cap.
 * BK_ERR_CONTEXT: far too many. Drops the cache. */
int32_t bk_session_encode(bk_session *s, const char *text, size_t n, int32_t *tokens, uint32_t cap);

#endif
