/* bk_config.h: every size and feature of the core, as defaults that a port overrides with -D.
 *
 * The core allocates nothing; these bound the structures that a caller embeds. Each comment says
 * what a larger value costs.
 */
#ifndef BK_CONFIG_H
#define BK_CONFIG_H

/* Transformer layers in a model: about 250 bytes of bk_model each on a 64-bit host. */
#ifndef BK_MAX_LAYERS
#define BK_MAX_LAYERS 64
#endif

/* Patches active at once: three 32-byte stream readers each while an overlay is built (stack). */
#ifndef BK_MAX_ACTIVE
#define BK_MAX_ACTIVE 8
#endif

/* Longest patch name, without the NUL. */
#ifndef BK_NAME_MAX
#define BK_NAME_MAX 32
#endif

/* Columns whose look-up tables a Cortex-M kernel keeps in memory at a time, a multiple of 128. With
 * 256 an act has 16 KB of tables and those of 256 columns serve several matrices; 128 halves that
 * for a chip that is short of RAM, at 6 % more instructions a token of the nano model
 * (boards/counts/cortex_m.json). */
#ifndef BK_LUT_PANEL
#define BK_LUT_PANEL 256
#endif

/* Largest head dimension: sizes one row of rotary angles on the caller's state. */
#ifndef BK_MAX_HEAD_DIM
#define BK_MAX_HEAD_DIM 256
#endif

#endif
