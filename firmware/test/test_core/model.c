/* model.c: the shipped model where the port put it: its id, its tokens, its logits, its patch. */
#include <string.h>

#include "bk_bpe.h"
#include "bk_forward.h"
#include "bk_open.h"
#include "bk_overlay_build.h"
#include "bk_pack.h"
#include "bk_sha256.h"
#include "checks.h"
#include "golden.h"

enum { MAX_TOKENS = 32, OVERLAY_BYTES = 12288 };

static bk_gguf gguf;
static bk_model model;
static bk_bpe bpe;
static bk_state state;
static bk_patch patch;
static const bk_patch *const set[] = {&patch};
static float logits[512];

static uint8_t *next_room;
static size_t room_left;

static void *room(size_t bytes) {
    bytes = (bytes + 63) & ~(size_t)63;
    if (bytes > room_left) return NULL;
    void *p = next_room;
    next_room += bytes, room_left -= bytes;
    return p;
}

static bool opens(const bk_board *b) {
    if (bk_gguf_open(&gguf, b->model, b->model_bytes) || bk_model_open(&model, &gguf)) return false;
    size_t packed = bk_model_packed_bytes(&model, b->kernel);
    model.writable = b->writable;
    return packed == 0 && !bk_model_pack(&model, b->kernel, NULL, 0, NULL) && model.vocab == 512 &&
           !memcmp(model.id, golden_model_id, sizeof model.id);
}

static bool refuses_damage(const bk_board *b) {
    static bk_gguf g;
    for (size_t n = 0; n < 4096; n += 17)
        if (!bk_gguf_open(&g, b->model, n)) return false;
    return bk_gguf_open(&g, b->model + 1, b->model_bytes - 1) != 0;
}

static bool tokenizer_opens(void) {
    size_t n = bk_bpe_bytes(&gguf);
    void *mem = room(n), *scratch = next_room;
    return mem && !bk_bpe_init(&bpe, &gguf, mem, n, scratch, room_left);
}

static bool state_opens(uint32_t ctx) {
    size_t n = bk_state_bytes(&model, ctx, 1, 1);
    void *mem = room(n);
    return mem && !bk_state_init(&state, &model, ctx, 1, NULL, mem, n);
}

/* SHA-256 of the logits of every position, as tests/golden/nano.json has it. */
static bool logits_are(const char *prompt, const uint8_t want[32]) {
    static int32_t ids[MAX_TOKENS];
    static uint8_t scratch[24 * MAX_TOKENS];
    int32_t n = bk_bpe_encode(&bpe, (const uint8_t *)prompt, strlen(prompt), false, ids, MAX_TOKENS,
                              scratch, sizeof scratch);
    bk_sha256 sha;
    uint8_t digest[32];
    if (n <= 0) return false;
    state.pos = 0;
    bk_sha256_init(&sha);
    for (int32_t i = 0; i < n; i++) {
        if (bk_forward(&state, ids + i, 1, logits)) return false;
        bk_sha256_update(&sha, logits, sizeof logits);
        bk_port_feed_watchdog();
    }
    bk_sha256_final(&sha, digest);
    return !memcmp(digest, want, sizeof digest);
}

static bool all_logits(bool patched) {
    bool good = true;
    for (size_t i = 0; i < N_GOLDEN; i++)
        good &= logits_are(golden[i].prompt, patched ? golden[i].arith : golden[i].plain);
    return good;
}

static bool patch_is_sound(void) {
    static uint8_t damaged[sizeof golden_patch];
    if (bk_patch_parse(golden_patch, sizeof golden_patch, &patch)) return false;
    if (bk_patch_check(&patch, &model, false)) return false;
    memcpy(damaged, golden_patch, sizeof damaged);
    for (size_t n = 0; n < sizeof damaged; n++) {
        static bk_patch other;
        if (!bk_patch_parse(damaged, n, &other)) return false; /* cut off anywhere */
    }
    return !bk_patch_parse(golden_patch, sizeof golden_patch, &patch);
}

static bool overlay_applies(void) {
    static bk_overlay overlay;
    size_t bytes = 0;
    if (bk_overlay_bytes(set, 1, &model, &bytes) || bytes > OVERLAY_BYTES) return false;
    void *mem = room(bytes);
    if (!mem || bk_overlay_build(&overlay, set, 1, &model, mem, bytes)) return false;
    state.overlay = &overlay;
    bool good = all_logits(true);
    state.overlay = NULL;
    return good && logits_are(golden[0].prompt, golden[0].plain);
}

static bool in_place_applies(void) {
    if (bk_patch_swap(&model, NULL, 0, set, 1, false)) return false;
    bool good = all_logits(true);
    if (bk_patch_swap(&model, set, 1, NULL, 0, false)) return false;
    return good && logits_are(golden[0].prompt, golden[0].plain) &&
           !bk_patch_check(&patch, &model, false);
}

void check_model(const bk_board *b) {
    next_room = take_all(&room_left);
    check("gguf: the model opens where it lies, and is the one", opens(b));
    check("gguf: a file that ends early is refused", refuses_damage(b));
    check("tokenizer: its tables fit", tokenizer_opens());
    check("model: the board's context fits", state_opens(b->ctx));
    check("model: logits as on the host", all_logits(false));
    check("patch: whole it is taken, cut off it is refused", patch_is_sound());
    check("patch: as an overlay, the patched logits; then the old ones", overlay_applies());
    if (b->writable)
        check("patch: in place, the patched logits; then the old ones", in_place_applies());
    else
        check("patch: in place is refused: this board's weights are read-only",
              bk_patch_xor(&patch, &model) == BK_ERR_READ_ONLY);
}
