/* hash_logits.c: SHA-256 of a prompt's logits under every kernel that this CPU can run, in several
 * chunkings and on several threads, without and with a patch: all hashes must be equal.
 *
 *   hash_logits MODEL PATCH|- TOKEN...
 *
 * Prints lines "plain|overlay|in-place|reverted KERNEL THREADS CHUNK HASH", or "skipped KERNEL".
 */
#include <string.h>

#include "bk_cpu.h"
#include "bk_forward.h"
#include "bk_pack.h"
#include "bk_pool.h"
#include "bk_sha256.h"
#include "model_file.h"

typedef struct {
    bk_model model;
    const bk_kernel *kernel;
    file patch;
    bk_patch parsed;
    const int32_t *tokens;
    uint32_t n;
} setting;

/* One forward pass from an empty cache. */
static void hash(const setting *s, const char *how, const bk_overlay *overlay, uint32_t threads,
                 uint32_t chunk) {
    const bk_model *m = &s->model;
    bk_pool *pool = bk_pool_new(threads);
    const bk_parallel *par = threads > 1 ? bk_pool_parallel(pool) : NULL;
    size_t bytes = bk_state_bytes(m, s->n, chunk, threads);
    void *mem = room(bytes);
    size_t n_logits = (size_t)s->n * m->vocab * sizeof(float);
    float *logits = room(n_logits);
    bk_state state;
    CHECK(bk_state_init(&state, m, s->n, chunk, par, mem, bytes) == BK_OK);
    state.overlay = overlay;
    CHECK(bk_forward_all(&state, s->tokens, s->n, logits) == BK_OK);
    bk_sha256 sha;
    uint8_t digest[32];
    bk_sha256_init(&sha);
    bk_sha256_update(&sha, logits, n_logits);
    bk_sha256_final(&sha, digest);
    printf("%s %s %u %u ", how, s->kernel->name, threads, chunk);
    for (int i = 0; i < 32; i++) printf("%02x", digest[i]);
    printf("\n");
    free(mem), free(logits), bk_pool_free(pool);
}

static void hash_all_ways(const setting *s, const char *how, const bk_overlay *overlay) {
    hash(s, how, overlay, 1, s->n);
    if (s->kernel == &bk_kernel_scalar) return; /* slow, and the same code for any chunk */
    hash(s, how, overlay, 1, 1);
    hash(s, how, overlay, 1, 7);
    hash(s, how, overlay, 3, 7);
}

static void hash_patched(setting *s) {
    const bk_patch *set[] = {&s->parsed};
    bk_overlay overlay;
    size_t bytes;
    void *mem = open_patch(&s->parsed, s->patch, &s->model, &overlay, &bytes);
    hash_all_ways(s, "overlay", &overlay);
    s->model.writable = true;
    CHECK(bk_patch_swap(&s->model, NULL, 0, set, 1, false) == BK_OK);
    hash_all_ways(s, "in-place", NULL);
    CHECK(bk_patch_swap(&s->model, set, 1, NULL, 0, false) == BK_OK);
    hash(s, "reverted", NULL, 1, s->n);
    free(mem);
}

static void hash_kernel(setting *s, const char *path) {
    file model = read_file(path); /* its own copy: flips are made in it */
    open_model(&s->model, model);
    size_t bytes = bk_model_packed_bytes(&s->model, s->kernel);
    void *packed = room(bytes);
    CHECK(bk_model_pack(&s->model, s->kernel, packed, bytes, NULL) == BK_OK);
    hash_all_ways(s, "plain", NULL);
    if (s->patch.n) hash_patched(s);
    free(packed), free(model.bytes);
}

int main(int argc, char **argv) {
    static setting s;
    static int32_t tokens[256];
    bk_cpu_kernel entry;
    if (argc < 4 || argc > 259) return 2;
    for (int i = 3; i < argc; i++) tokens[s.n++] = atoi(argv[i]);
    s.tokens = tokens;
    if (strcmp(argv[2], "-")) s.patch = read_file(argv[2]);
    for (unsigned i = 0; bk_cpu_kernel_at(i, &entry); i++) {
        s.kernel = entry.kernel;
        if (entry.runs) hash_kernel(&s, argv[1]);
        else printf("skipped %s\n", entry.kernel->name);
    }
    free(s.patch.bytes);
    return CHECK_RESULT();
}
