/* bk_device.h: what the SMP server and the shell ask of this board: store and model as one device.
 *
 * Every command returns a bk_rc; one that is not BK_RC_OK left its sentence in `detail`, if there
 * is more to say. The commands are those of the Linux agent (docs/protocol.md), and behave alike.
 */
#ifndef BK_DEVICE_H
#define BK_DEVICE_H

#include "bk_active.h"
#include "bk_answer.h"
#include "bk_facts.h"

#ifndef BK_VERSION
#define BK_VERSION "0.1.0"
#endif

typedef struct {
    const bk_board *board;
    bk_store store;
    bk_active active;
    uint32_t upload_bytes;              /* announced */
    char detail[BK_SMP_DETAIL_MAX + 1]; /* about the last command that was refused */
    char about[BK_SMP_DETAIL_MAX + 1];  /* one line: what this is */
    char lacking[BK_SMP_DETAIL_MAX + 1]; /* why the model does not run; "" */
    bool reset_asked;
#ifndef BK_SWITCHER
    bk_session session;
    bk_answer answer;
#endif
} bk_device;

extern const bk_smp_hooks bk_device_hooks;

void bk_device_start(bk_device *d, const bk_board *board);

/* One pass over one token, if a prompt is being answered. */
bool bk_device_step(bk_device *d);

int bk_device_use(bk_device *d, const bk_smp_name *names, size_t n, uint64_t *ns);
int bk_device_off(bk_device *d, const bk_smp_name *names, size_t n, uint64_t *ns);
int bk_device_rollback(bk_device *d, uint64_t *ns);
int bk_device_remove(bk_device *d, const char *name);
int bk_device_ask(bk_device *d, const char *prompt, size_t n, uint32_t max_tokens);
int bk_device_info(bk_device *d, bk_facts *f);
int bk_device_verify(bk_device *d, bk_facts *f, bool *ok);
int bk_device_bench(bk_device *d, bk_facts *f);

/* Entry `index` of the stored patches by name; NULL after the last. */
const bk_store_patch *bk_device_at(const bk_device *d, uint32_t index);

/* Is a patch of that name in the active set? Its bytes may be others than those stored. */
bool bk_device_has_active(const bk_device *d, const char *name);

/* SHA-256 over the logits [tokens, vocab] of every position of a text, from an empty cache. */
int bk_device_logits(bk_device *d, const char *text, size_t n, uint8_t digest[32]);

/* For the device's own files: a fresh sentence in `detail`; one of three parts, returning rc; the
 * stored patch of a name, with the sentence when there is none; how many are listed. */
bk_say bk_device_say(bk_device *d);
int bk_device_refuse(bk_device *d, int rc, const char *before, const char *what,
                     const char *after);
const bk_store_patch *bk_device_find(bk_device *d, const char *name);
uint32_t bk_device_count(const bk_device *d);
#ifndef BK_SWITCHER
bk_str bk_device_model_name(const bk_device *d);
#endif

#endif
