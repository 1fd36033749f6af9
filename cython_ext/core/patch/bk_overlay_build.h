/* bk_overlay_build.h: from a set of patches to the overlay that a state runs under. */
#ifndef BK_OVERLAY_BUILD_H
#define BK_OVERLAY_BUILD_H

#include "bk_overlay.h"
#include "bk_patch.h"

/* Bytes of memory that an overlay of these patches needs on this model. At most BK_MAX_ACTIVE
 * patches; each must have passed bk_patch_check, though a bad range is refused here again. */
int bk_overlay_bytes(const bk_patch *const *patches, uint32_t n, const bk_model *model,
                     size_t *bytes);

/* Build into mem (4-byte aligned, size bytes). It reads pristine rows from the model now and
 * nothing of the patches later. */
int bk_overlay_build(bk_overlay *overlay, const bk_patch *const *patches, uint32_t n,
                     const bk_model *model, void *mem, size_t size);

#endif
