/* bk_overlay_build.c: merge a set of patches into sign entries and shadow rows. */
#include "bk_overlay_build.h"

typedef struct {
    uint32_t rows, shadows;
    uint64_t shadow_bytes;
} overlay_need;

static uint32_t sections_of(const bk_model *model) { return model->n_layers * BK_N_PROJ; }

static uint64_t bytes_of(const overlay_need *need, uint32_t n_sections) {
    return (uint64_t)(n_sections + 1) * sizeof(uint32_t) +
           (uint64_t)need->rows * sizeof(bk_overlay_row) + need->shadow_bytes;
}

/* A shadow's place is kept in 32 bits, which also keeps every sum in a size_t. */
static bool fits(const overlay_need *need, uint32_t n_sections) {
    return bytes_of(need, n_sections) < UINT32_MAX;
}

/* One pass that only counts, and whether that fits; bk_overlay_build then fills. */
static int count(bk_flips *streams, const bk_patch *const *patches, uint32_t n,
                 const bk_model *model, overlay_need *need) {
    bk_rows rows;
    *need = (overlay_need){0, 0, 0};
    if (n > BK_MAX_ACTIVE) return BK_ERR_LIMIT;
    bk_rows_start(&rows, streams, patches, n);
    while (bk_rows_next(&rows)) {
        const bk_mat *w = bk_rows_mat(&rows, model);
        if (!w) return BK_ERR_PATCH_RANGE;
        bool fine = bk_rows_fine(&rows);
        int odd = bk_rows_take(&rows, (bk_row_sink){0}, w->cols);
        if (odd < 0) return odd;
        if (fine) {
            need->shadows++;
            need->shadow_bytes += bk_q1_row_bytes(w->cols);
        }
        need->rows += fine || odd;
    }
    return fits(need, sections_of(model)) ? BK_OK : BK_ERR_LIMIT;
}

int bk_overlay_bytes(const bk_patch *const *patches, uint32_t n, const bk_model *model,
                     size_t *bytes) {
    bk_flips streams[BK_N_FLIP_KINDS * BK_MAX_ACTIVE];
    overlay_need need;
    int rc = count(streams, patches, n, model, &need);
    if (rc != BK_OK) return rc;
    *bytes = (size_t)bytes_of(&need, sections_of(model));
    return BK_OK;
}

/* Write rows and shadows; the counting pass has shown that everything is in range and fits. */
static void fill(bk_rows *rows, const bk_model *model, uint32_t *first, bk_overlay_row *out,
                 uint8_t *shadows, uint32_t n_sections) {
    uint32_t at = 0, section = 0, shadow = 0;
    while (bk_rows_next(rows)) {
        const bk_mat *w = bk_rows_mat(rows, model);
        size_t row_bytes = bk_q1_row_bytes(w->cols);
        while (section <= rows->section) first[section++] = at;
        out[at].row = rows->row;
        if (bk_rows_fine(rows)) {
            memcpy(shadows + shadow, w->data + rows->row * row_bytes, row_bytes);
            (void)bk_rows_take(rows, (bk_row_sink){.blocks = shadows + shadow}, w->cols);
            out[at++].shadow = 1 + shadow;
            shadow += (uint32_t)row_bytes;
        } else if (bk_rows_take(rows, (bk_row_sink){0}, w->cols) == 1) {
            out[at++].shadow = 0;
        }
    }
    while (section <= n_sections) first[section++] = at;
}

int bk_overlay_build(bk_overlay *overlay, const bk_patch *const *patches, uint32_t n,
                     const bk_model *model, void *mem, size_t size) {
    bk_flips streams[BK_N_FLIP_KINDS * BK_MAX_ACTIVE];
    bk_rows rows;
    overlay_need need;
    uint32_t n_sections = sections_of(model);
    int rc = count(streams, patches, n, model, &need);
    if (rc != BK_OK) return rc;
    if (((uintptr_t)mem & (sizeof(uint32_t) - 1)) != 0 || size < bytes_of(&need, n_sections))
        return BK_ERR_MEMORY;

    uint32_t *first = mem;                                        /* [n_sections + 1] */
    bk_overlay_row *out = (bk_overlay_row *)(first + n_sections + 1); /* [need.rows] */
    uint8_t *shadows = (uint8_t *)(out + need.rows);              /* [need.shadow_bytes] */
    bk_rows_start(&rows, streams, patches, n);
    fill(&rows, model, first, out, shadows, n_sections);
    *overlay = (bk_overlay){first, out, shadows, n_sections, need.rows, need.shadows};
    return BK_OK;
}
