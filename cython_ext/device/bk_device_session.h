/* bk_device_session.h: what a device needs of a model: patches that switch, prompts that are
 * answered.
 *
 * A port fills the struct; every callback gets `self`. An answer is worked on under a ticket: begin
 * returns it, poll takes what text there is and lets the work go on, cancel gives it up. How many
 * run at a time is the port's: a chip has two, one of them for the patches' own probes.
 */
#ifndef BK_DEVICE_SESSION_H
#define BK_DEVICE_SESSION_H

#include "bk_device_store.h"
#include "bk_facts.h"
#include "bk_patch.h"
#include "bk_say.h"

typedef struct {
    bool known;              /* there is a model: patches are checked against it */
    bool runs;               /* and it answers prompts */
    bool in_place;           /* flips are XORed into the weights where they lie */
    bool wants_running;      /* and come off them by their patches, which `running` then has */
    const uint8_t *model_id; /* [32] of the only model whose patches are taken; NULL: of any */
    bk_str model_name;
    uint32_t ctx;            /* tokens */
    const char *kernel;
    size_t room;             /* bytes of text that one step may bring about, at most */
} bk_session_about;

/* A set with its decoded patches, which lie where the device keeps them until the next call. */
typedef struct {
    bk_patch_set set;
    const bk_patch *patches[BK_MAX_ACTIVE];
} bk_members;

typedef uint32_t bk_ticket; /* 0 is none */

/* What a poll brought. */
typedef struct {
    size_t n;       /* bytes of text: whole characters */
    uint32_t steps; /* that brought them */
    uint64_t us;    /* from begin to the last of them */
    bool done;      /* nothing comes after it, and the ticket is free */
    int rc;         /* why it ended early; the sentence is in `why` */
} bk_piece;

typedef struct {
    void *self;
    void (*about)(void *self, bk_session_about *about);
    /* Is this patch fit for the pristine weights? BK_OK or a bk_error; nothing changes. `running`
     * is the active set, whose flips may have to be taken back meanwhile. */
    int (*check)(void *self, const bk_members *running, const bk_patch *patch);
    /* Is a set ready, so that it can be used without its patches? Are there probes in it? NULL: no
     * set ever is. */
    bool (*ready)(void *self, const bk_patch_set *set, bool *probes);
    /* Switch to a set, all or nothing. Returns BK_OK, a bk_error about one of its patches, or a
     * bk_rc with the sentence. *ns: the time of the switch itself. */
    int (*use)(void *self, const bk_members *running, const bk_members *wanted, uint64_t *ns,
               bk_say *why);
    /* SHA-256 over the weights without in-place flips, and whether they are as they were loaded. */
    int (*weights)(void *self, const bk_members *running, uint8_t digest[32], bool *intact);
    /* Let no other ticket advance (or go on) while a set is being switched and probed. NULL where
     * there is only one thing at a time. */
    void (*hold)(void *self, bool on);
    /* Drop what was prepared for sets with this patch: its id will be another's. NULL: nothing is. */
    void (*forget)(void *self, bk_patch_id id);
    /* Continue a prompt greedily. Returns BK_OK and the ticket, BK_RC_BUSY, or BK_ERR_CONTEXT with
     * the number of the prompt's tokens (0: far too many), or BK_ERR_ARGUMENT for a prompt without
     * any. The second is for a probe: it is asked for until it is done, and never refused as BUSY. */
    int (*begin)(void *self, const char *prompt, size_t n, uint32_t max_tokens, bool probe,
                 bk_ticket *ticket, uint32_t *tokens);
    /* At most cap bytes of new text; cap is about.room at least. With `wait`, not before there is
     * some, or the end. */
    void (*poll)(void *self, bk_ticket ticket, bool wait, uint8_t *p, size_t cap, bk_piece *piece,
                 bk_say *why);
    void (*cancel)(void *self, bk_ticket ticket);
    /* Time some tokens under the active set, and say what was found. */
    int (*bench)(void *self, bk_facts *facts, bk_say *why);
    /* SHA-256 over the logits [tokens, vocab] of every position of a text, from an empty cache. */
    int (*logits)(void *self, const char *text, size_t n, uint8_t digest[32], bk_say *why);
} bk_device_session;

#endif
