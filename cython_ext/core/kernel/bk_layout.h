/* bk_layout.h: the bytes that each kernel takes beside the file's, told without its code.
 *
 * So a host plans for a CPU that it has not. A kernel proves its row where it is compiled
 * (BK_LAYOUT_IS); to add a kernel, add a row.
 */
#ifndef BK_LAYOUT_H
#define BK_LAYOUT_H

#include "bk_act.h"
#include "bk_config.h"

/* name; rows to which its own copy of a matrix is padded, 0: it reads the file's layout; bytes of
 * tables or planes that it adds to each 128 columns of an act; of at most so many columns, 0: of
 * all; bytes that it adds once */
#define BK_LAYOUTS(row)                                                    \
    row(AVX512_LUT, "avx512-lut", 128, 2048, 0, 0)                         \
    row(AVX512_VNNI, "avx512-vnni", 128, 0, 0, 0)                          \
    row(AVX512_POPCOUNT, "avx512-popcount", 128, 256, 0, 0)                \
    row(AVX2_LUT, "avx2-lut", 64, 1024, 0, 0)                              \
    row(AVX2_MADDUBS, "avx2-maddubs", 64, 0, 0, 0)                         \
    row(NEON_LUT, "neon-lut", 32, 1026, 0, 0)                              \
    row(NEON_SDOT, "neon-sdot", 16, 0, 0, 0)                               \
    row(NEON_POPCOUNT, "neon-popcount", 16, 128, 0, 0)                     \
    row(SCALAR, "scalar", 0, 0, 0, 0)                                      \
    row(DSP, "dsp", 0, 8192, BK_LUT_PANEL, 64)                             \
    row(MVE, "mve", 0, 8192, BK_LUT_PANEL, 64)

#define BK_LAYOUT_NUMBERS(id, name, tile, tables, panel, own) \
    BK_TILE_OF_##id = tile, BK_TABLES_OF_##id = tables, BK_OWN_OF_##id = own,
enum { BK_LAYOUTS(BK_LAYOUT_NUMBERS) };
#undef BK_LAYOUT_NUMBERS

/* In a kernel's file: what it computes with is what its row says. */
#define BK_LAYOUT_IS(id, tile, tables)                                                     \
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
