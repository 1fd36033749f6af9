/* model_file.h: a model and a patch from files, for the programs that count or hash. */
#ifndef BK_TEST_MODEL_FILE_H
#define BK_TEST_MODEL_FILE_H

#include <stdlib.h>

#include "bk_open.h"
#include "bk_overlay_build.h"
#include "check.h"

typedef struct {
    uint8_t *bytes;
    size_t n;
} file;

static void *room(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) & ~(size_t)63);
    if (!p) abort();
    return p;
}

static file read_file(const char *path) {
    FILE *stream = fopen(path, "rb");
    if (!stream || fseek(stream, 0, SEEK_END)) exit(2);
    file f = {.n = (size_t)ftell(stream)};
    f.bytes = room(f.n);
    rewind(stream);
    if (fread(f.bytes, 1, f.n, stream) != f.n) exit(2);
    fclose(stream);
    return f;
}

/* The file's bytes are the model's weights. */
static void open_model(bk_model *m, file f) {
    bk_gguf gguf;
    CHECK(bk_gguf_open(&gguf, f.bytes, f.n) == BK_OK);
    CHECK(bk_model_open(m, &gguf) == BK_OK);
}

/* The patch and its overlay, which lies in the memory that is returned. */
static void *open_patch(bk_patch *patch, file f, const bk_model *m, bk_overlay *overlay,
                        size_t *bytes) {
    const bk_patch *set[] = {patch};
    CHECK(bk_patch_parse(f.bytes, f.n, patch) == BK_OK);
    CHECK(bk_patch_check(patch, m, false) == BK_OK);
    CHECK(bk_overlay_bytes(set, 1, m, bytes) == BK_OK);
    void *mem = room(*bytes);
    CHECK(bk_overlay_build(overlay, set, 1, m, mem, *bytes) == BK_OK);
    return mem;
}

#endif
