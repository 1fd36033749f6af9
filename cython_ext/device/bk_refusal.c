/* bk_refusal.c: an rc and a sentence for every bk_error about a patch. */
#include "bk_refusal.h"

#include "bk_error.h"

/* The map's first pair is 0: version; larger numbers than fit a byte are not worth a decoder. */
static void say_version(bk_span payload, bk_say *why) {
    bk_say_text(why, "has format version ");
    if (payload.n > 2 && payload.p[1] == 0 && payload.p[2] < 24) bk_say_uint(why, payload.p[2]);
    else bk_say_text(why, "unknown");
}

static void say_model(const bk_patch *patch, bk_say *why) {
    bk_say_text(why, "is for model ");
    bk_say_hex(why, patch->model_id, 8);
}

int bk_refusal(const char *name, int error, const bk_patch *patch, bk_span payload, bk_say *why) {
    if (error == BK_OK) return BK_RC_OK;
    bk_say_text(why, patch ? "patch " : "");
    bk_say_text(why, name);
    bk_say_text(why, " ");
    if (error == BK_ERR_VERSION) say_version(payload, why);
    else if (error == BK_ERR_PATCH_MODEL && patch) say_model(patch, why);
    else if (error == BK_ERR_MALFORMED) bk_say_text(why, "is damaged or no patch");
    else bk_say_text(why, bk_error_patch_text(error));
    return (int)bk_rc_from_error(error);
}
