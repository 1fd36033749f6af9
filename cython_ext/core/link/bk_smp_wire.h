/* bk_smp_wire.h: what the files of the SMP server share; nobody else includes it. */
#ifndef BK_SMP_WIRE_H
#define BK_SMP_WIRE_H

#include <zcbor_common.h>
#include <zcbor_decode.h>
#include <zcbor_encode.h>

#include "bk_error.h"
#include "bk_smp.h"

/* SMP's own rc, kept apart from bk_rc: a handler returns 0, a bk_rc, or BK_SMP_RC + one of these. */
enum {
    BK_SMP_RC = 0x100,
    BK_SMP_UNKNOWN = BK_SMP_RC + 1,
    BK_SMP_NO_MEMORY = BK_SMP_RC + 2,
    BK_SMP_INVALID = BK_SMP_RC + 3,
    BK_SMP_NO_ENTRY = BK_SMP_RC + 5,
    BK_SMP_MSG_SIZE = BK_SMP_RC + 7,
    BK_SMP_NOT_SUPPORTED = BK_SMP_RC + 8,
    BK_SMP_TOO_NEW = BK_SMP_RC + 13
};

/* Group 10's own errors: BK_SMP_ENUM_RC + one of these. */
enum { BK_SMP_ENUM_RC = 0x200, BK_SMP_ENUM_INDEX = BK_SMP_ENUM_RC + 4 };

enum { BK_SMP_MAX_NESTING = 8, BK_SMP_MAX_KEYS = 64 };

struct bk_smp_fields {
    zcbor_state_t *z;
    bool full; /* something did not fit */
};

typedef struct {
    bk_smp *s;
    const uint8_t *body; /* one well-formed CBOR map, or nothing */
    size_t n;
    bk_smp_fields out; /* inside the answer's map */
    const char *detail; /* about the error returned, or NULL */
} bk_smp_call;

typedef int (*bk_smp_handler)(bk_smp_call *c);

typedef struct {
    uint16_t id;
    uint8_t n_commands;
    const char *name;
    const bk_smp_handler (*commands)[2]; /* [n_commands] read, write; NULL where unsupported */
} bk_smp_group;

extern const bk_smp_group bk_smp_group_os, bk_smp_group_fs, bk_smp_group_enum, bk_smp_group_bk;
extern const bk_smp_group *const bk_smp_groups[];
extern const uint32_t bk_smp_n_groups;

/* bk_smp_args.c: values in the request. */
typedef enum { BK_ARG_ABSENT, BK_ARG_OK, BK_ARG_BAD } bk_arg;

bool bk_smp_args_well_formed(const uint8_t *body, size_t n);
bk_arg bk_smp_arg_u32(const bk_smp_call *c, const char *key, uint32_t *v);
bk_arg bk_smp_arg_bool(const bk_smp_call *c, const char *key, bool *v);
bk_arg bk_smp_arg_text(const bk_smp_call *c, const char *key, struct zcbor_string *v);
bk_arg bk_smp_arg_bytes(const bk_smp_call *c, const char *key, struct zcbor_string *v);
/* An array of texts or of uint32: at most cap, its length in *count; BK_ARG_BAD beyond. */
bk_arg bk_smp_arg_texts(const bk_smp_call *c, const char *key, struct zcbor_string *v, size_t cap,
                        size_t *count);
bk_arg bk_smp_arg_u32s(const bk_smp_call *c, const char *key, uint32_t *v, size_t cap,
                       size_t *count);

/* bk_smp.c */
int bk_smp_hook_failed(bk_smp_call *c, int rc); /* a hook's result as a bk_rc; fetches detail */
void bk_smp_put_key(bk_smp_fields *f, const char *key);
uint32_t bk_smp_now(const bk_smp *s);
/* Bytes of a detail sentence that are sent: bounded, never half a UTF-8 sequence. */
size_t bk_smp_detail_n(const char *detail);
/* Room left for values, after what closes the answer. */
size_t bk_smp_room(const bk_smp_call *c);

/* bk_smp_text.c: the same error for clients that do not know group 0x424B, and for v1. */
int bk_rc_as_fs(int rc);
int bk_rc_as_smp(int rc);

#endif
