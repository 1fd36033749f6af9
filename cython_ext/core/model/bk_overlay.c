/* bk_overlay.c: what an active set changes of a product. */
#include "bk_overlay.h"

void bk_overlay_fix(const bk_overlay *overlay, uint32_t layer, bk_proj p, const bk_mat *w,
                    const bk_kernel *k, const void *act, float *y) {
    if (!overlay) return;
    uint32_t section = layer * BK_N_PROJ + (uint32_t)p;
    if (section >= overlay->n_sections) return;
    const bk_overlay_row *end = overlay->rows + overlay->first[section + 1];
    for (const bk_overlay_row *r = overlay->rows + overlay->first[section]; r < end; r++) {
        if (r->shadow) y[r->row] = k->row(overlay->shadows + (r->shadow - 1), w->cols, act);
        else y[r->row] = 0.0f - y[r->row]; /* not -y: a sum of +0 is +0 in place too */
    }
}
