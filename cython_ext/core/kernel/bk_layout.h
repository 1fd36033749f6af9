/* bk_layout.h: the table of kernels, and the bytes that each takes beside the file's.
 *
 * Told without its code: so a host plans for a CPU that it has not. A kernel proves its row where
 * it is compiled (BK_LAYOUT_IS); to add a kernel, add its file and a row.
 */
#ifndef BK_LAYOUT_H
#define BK_LAYOUT_H

#include "bk_act.h"
#include "bk_config.h"

/* bk_kernel_ID and its name; what a CPU needs for it (linux/bk_cpu.c); rows to which its own copy
 * of a matrix is padded, 0: it reads the file's layout; bytes of tables or planes that it adds to
 * each 128 columns of an act; of at most so many columns, 0: of all; bytes that it adds once. The
 * likely fastest of a family of CPUs first. */
/* clang-format off */
#define BK_LAYOUTS_X86(row)                                                \
    row(avx512_lut, "avx512-lut", avx512, 128, 2048, 0, 0)                 \
    row(avx512_vnni, "avx512-vnni", vnni, 128, 0, 0, 0)                    \
    row(avx512_popcount, "avx512-popcount", bitalg, 128, 256, 0, 0)        \
    row(avx2_lut, "avx2-lut", avx2, 64, 1024, 0, 0)                        \
    row(avx2_maddubs, "avx2-maddubs", avx2, 64, 0, 0, 0)
#define BK_LAYOUTS_ARM(row)                                                \
    row(neon_lut, "neon-lut", nothing, 32, 1026, 0, 0)                     \
    row(neon_sdot, "neon-sdot", dot_product, 16, 0, 0, 0)                  \
    row(neon_popcount, "neon-popcount", nothing, 16, 128, 0, 0)
#define BK_LAYOUTS_CORTEX_M(row)                                           \
    row(dsp, "dsp", nothing, 0, 8192, BK_LUT_PANEL, 64)                    \
    row(mve, "mve", nothing, 0, 8192, BK_LUT_PANEL, 64)
#define BK_LAYOUTS_ANY(row) row(scalar, "scalar", nothing, 0, 0, 0, 0)
#define BK_LAYOUTS(row) \
    BK_LAYOUTS_X86(row) BK_LAYOUTS_ARM(row) BK_LAYOUTS_CORTEX_M(row) BK_LAYOUTS_ANY(row)
/* clang-format on */

#define BK_LAYOUT_NUMBERS(id, name, needs, tile, tables, panel, own)                               \
    BK_TILE_OF_##id = tile, BK_TABLES_OF_##id = tables, BK_OWN_OF_##id = own,
enum { BK_LAYOUTS(BK_LAYOUT_NUMBERS) };
#undef BK_LAYOUT_NUMBERS

/* In a kernel's file: what it computes with is what its row says. */
#define BK_LAYOUT_IS(id, tile, tables)                                                             \
    _Static_assert((int)BK_TILE_OF_##id == (int)(tile) && (int)BK_TABLES_OF_##id == (int)(tables), \
                   "the kernel's row in bk_layout.h")

typedef struct {
    const char *kernel;
    uint32_t tile, tables, panel, own;
} bk_layout;

/* The layout of a kernel by its name; NULL when there is none of that name. */
const bk_layout *bk_layout_of(const char *kernel);

/* Bytes of its own copy of a matrix (bk_kernel's packed_bytes), and of an act (act_bytes). */
uint64_t bk_layout_packed_bytes(const bk_layout *l, uint32_t rows, uint32_t cols);
uint64_t bk_layout_act_bytes(const bk_layout *l, uint32_t cols);

#endif
