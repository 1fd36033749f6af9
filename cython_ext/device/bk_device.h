/* bk_device.h: what every device does: a store and a session as one, for programs and humans.
 *
 * Every command returns a bk_rc; one that is not BK_RC_OK left its sentence in `detail`, if there
 * is more to say. docs/protocol.md has the commands. A caller with several lines serialises them.
 */
#ifndef BK_DEVICE_H
#define BK_DEVICE_H

#include "bk_active.h"
#include "bk_answer.h"

/* What a port brings; all of it stays the port's. */
typedef struct {
    const bk_device_port *port;
    const bk_device_store *store;
    const bk_device_session *session;
    const bk_trust *trust;
    uint32_t probe_budget_ms;
    uint8_t *answer, *piece; /* [answer_bytes], [piece_bytes] text for a host, and of a probe */
    size_t answer_bytes, piece_bytes;
} bk_device_parts;

typedef struct {
    bk_device_parts parts;
    bk_active active;
    bk_answer answer;
    char detail[BK_SMP_DETAIL_MAX + 1]; /* about the last command that was refused */
} bk_device;

extern const bk_smp_hooks bk_device_hooks;

/* Put the parts together; then bk_device_restore brings the recorded set back. */
void bk_device_init(bk_device *d, const bk_device_parts *parts);
void bk_device_restore(bk_device *d);

/* Let the prompt that is being answered go on; false when there is none. */
bool bk_device_step(bk_device *d);

int bk_device_use(bk_device *d, const bk_smp_name *names, size_t n, uint64_t *ns);
int bk_device_off(bk_device *d, const bk_smp_name *names, size_t n, uint64_t *ns);
int bk_device_rollback(bk_device *d, uint64_t *ns);
int bk_device_remove(bk_device *d, const char *name);
int bk_device_ask(bk_device *d, const char *prompt, size_t n, uint32_t max_tokens);
int bk_device_info(bk_device *d, bk_facts *f);
int bk_device_verify(bk_device *d, bk_facts *f, bool *ok);
int bk_device_bench(bk_device *d, bk_facts *f);
int bk_device_logits(bk_device *d, const char *text, size_t n, uint8_t digest[32]);

/* Entry `index` of the stored patches by name, and whether one of that name is active: its bytes
 * may be others than those stored. NO_SUCH_PATCH after the last. */
int bk_device_list(bk_device *d, uint32_t index, bk_smp_entry *entry);

/* "bankai-edge VERSION, BOARD, MODEL" for whoever asks what this is. */
void bk_device_about(const bk_device *d, const char *board, char *text, size_t cap);

/* A fresh sentence in `detail`; one of three parts, returning rc. */
bk_say bk_device_say(bk_device *d);
int bk_device_refuse(bk_device *d, int rc, const char *before, const char *what, const char *after);

/* The sentence about the store's last failure, if it has one; returns rc. */
int bk_device_store_rc(bk_device *d, int rc);

/* The stored patch of a name, with the sentence when there is none. */
int bk_device_find(bk_device *d, const char *name, bk_stored *found);

#endif
