/* bk_patch.h: a .bkp patch: decode it, check it against a model, XOR it into the weights.
 *
 * A .bkp is one deterministic CBOR map (RFC 8949 4.2.1); bankai_edge/patch/bkp.cddl describes it.
 * Decoding copies nothing: a bk_patch is views into the caller's bytes, which must outlive it. It
 * walks every byte once, so that what follows (rows, check, xor, overlay) cannot meet a bad stream.
 */
#ifndef BK_PATCH_H
#define BK_PATCH_H

#include <stdbool.h>

#include "bk_flips.h"
#include "bk_model.h"

enum { BK_PATCH_VERSION = 1, BK_PATCH_DOMAIN_MAX = 64 };

typedef struct {
    bk_span whole;                      /* the bytes that it was decoded from */
    bk_str name;                        /* as bk_name_ok has it */
    bk_str domain;                      /* n is 0 when absent */
    const uint8_t *model_id;            /* [32]; NULL: unbound (then there is no CRC either) */
    bk_span flips[BK_N_FLIP_KINDS];     /* flip streams, see bk_flips.h */
    uint32_t n_flips[BK_N_FLIP_KINDS];  /* how many each holds */
    uint32_t crc;                       /* CRC-32C over the pristine bytes of every row touched */
    bk_span canaries;                   /* CBOR: [+ [prompt, expected]] */
    uint32_t n_canaries;
    bk_span provenance;                 /* CBOR: {* tstr => any} */
    uint32_t sequence;
    bool has_sequence;
} bk_patch;

/* Decode strictly: key order, shortest forms, no unknown key below 64, no trailing byte. */
int bk_patch_parse(const uint8_t *bytes, size_t n, bk_patch *patch);

/* The same bytes lie elsewhere now: set the views right. */
void bk_patch_move(bk_patch *patch, const uint8_t *bytes);

/* Canary i of n_canaries. */
int bk_patch_canary(const bk_patch *patch, uint32_t i, bk_str *prompt, bk_str *expected);

/* Is this patch made for this model? Its id, every range, and the CRC over the model's rows, which
 * must be pristine. Changes nothing. */
int bk_patch_check(const bk_patch *patch, const bk_model *model, bool allow_unbound);

/* CRC-32C over the bytes of every distinct row touched, in (layer, projection, row) order. */
int bk_patch_row_crc(const bk_patch *patch, const bk_model *model, uint32_t *crc);

/* XOR the flips into the weights: applies, and applied again reverts. The caller has checked the
 * patch against the pristine model; on an error nothing is changed. */
int bk_patch_xor(const bk_patch *patch, bk_model *model);

/* Replace one set of patches, in place, by another: the old one is reverted, all the new ones are
 * checked against the pristine rows, then all are applied; on any error the old set is back. */
int bk_patch_swap(bk_model *model, const bk_patch *const *old_set, uint32_t n_old,
                  const bk_patch *const *new_set, uint32_t n_new, bool allow_unbound);

/* A walk over the distinct rows that a set of patches touches, in (section, row) order.
 *
 *     bk_flips streams[BK_N_FLIP_KINDS * n];
 *     bk_rows_start(&rows, streams, patches, n);
 *     while (bk_rows_next(&rows))
 *         int odd = bk_rows_take(&rows, (bk_row_sink){0}, cols);
 */
typedef struct {
    bk_flips *streams;     /* [3 * n], the caller's */
    uint32_t n;            /* streams that still hold flips */
    uint32_t section, row; /* the current row */
} bk_rows;

void bk_rows_start(bk_rows *rows, bk_flips *streams, const bk_patch *const *patches, uint32_t n);

/* Step to the next distinct row; false at the end. Every row must be taken before the next step. */
bool bk_rows_next(bk_rows *rows);

/* Does the current row have group or bit flips? Ask before taking. */
bool bk_rows_fine(const bk_rows *rows);

/* Where a row's flips are XORed: its blocks, or the matrix as a kernel has laid it out. */
typedef struct {
    uint8_t *blocks; /* NULL: look at packed */
    const bk_mat *packed; /* NULL: flip nothing, only consume */
    const bk_kernel *kernel; /* that laid out `packed` */
} bk_row_sink;

/* Consume the current row's flips. Returns 1 when its row flips are odd in number, else 0, or
 * BK_ERR_PATCH_RANGE for a column beyond cols. */
int bk_rows_take(bk_rows *rows, bk_row_sink sink, uint32_t cols);

/* The current row's matrix in this model, or NULL when the model has no such Q1_0 row. */
const bk_mat *bk_rows_mat(const bk_rows *rows, const bk_model *model);

#endif
