/* bk_smp_text.c: every error's name and sentence, and its nearest relatives in other groups. */
#include "bk_error.h"
#include "bk_smp_wire.h"

static const char unknown[] = "an error that this version does not know";

/* One text after the other: pointers to each would take a small chip's flash. */
#define NAME(name, number, fs, smp, text) #name "\0"
#define TEXT(name, number, fs, smp, text) text "\0"
static const char own_names[] = "BK_RC_OK\0" BK_RCS(NAME);
static const char own_texts[] = "done\0" BK_RCS(TEXT);

/* Number `i` of them. */
static const char *pick(const char *texts, int i) {
    while (i--)
        while (*texts++) {
        }
    return texts;
}

const char *bk_rc_own_text(int rc) {
    return rc >= 0 && rc < BK_RC_COUNT ? pick(own_texts, rc) : unknown;
}

/* What other groups' numbers mean, for a host that shows them. */
static const char *const fs_errors[][2] = {
    {"OK", "done"},
    {"UNKNOWN", "the device failed"},
    {"FILE_INVALID_NAME", "the file name is not valid"},
    {"FILE_NOT_FOUND", "there is no such file"},
    {"FILE_IS_DIRECTORY", "the name is a directory's"},
    {"FILE_OPEN_FAILED", "opening the file failed"},
    {"FILE_SEEK_FAILED", "seeking in the file failed"},
    {"FILE_READ_FAILED", "reading the file failed"},
    {"FILE_TRUNCATE_FAILED", "truncating the file failed"},
    {"FILE_DELETE_FAILED", "deleting the file failed"},
    {"FILE_WRITE_FAILED", "writing the file failed, or the device refused it"},
    {"FILE_OFFSET_NOT_VALID", "the offset is not the one expected"},
    {"FILE_OFFSET_LARGER_THAN_FILE", "the offset lies beyond the end of the file"},
    {"CHECKSUM_HASH_NOT_FOUND", "the device does not know that hash"},
    {"MOUNT_POINT_NOT_FOUND", "the path has no mount point"},
    {"READ_ONLY_FILESYSTEM", "the file system is read-only"},
    {"FILE_EMPTY", "the file is empty"},
};

static const char *const enum_errors[][2] = {
    {"OK", "done"},
    {"UNKNOWN", "the device failed"},
    {"TOO_MANY_GROUP_ENTRIES", "too many groups were named"},
    {"INSUFFICIENT_HEAP_FOR_ENTRIES", "the device is out of memory"},
    {"INDEX_TOO_LARGE", "there are fewer groups than that"},
};

static const char *const smp_errors[][2] = {
    {"EOK", "done"},
    {"EUNKNOWN", "the device failed"},
    {"ENOMEM", "the device is out of memory or space"},
    {"EINVAL", "the request is malformed or an argument makes no sense"},
    {"ETIMEOUT", "the operation took too long"},
    {"ENOENT", "there is no such file or entry"},
    {"EBADSTATE", "the device's state does not allow that now"},
    {"EMSGSIZE", "the answer does not fit the device's buffer"},
    {"ENOTSUP", "the device does not know that command"},
    {"ECORRUPT", "the data is damaged"},
    {"EBUSY", "the device is busy"},
    {"EACCESSDENIED", "the device refuses access"},
    {"UNSUPPORTED_TOO_OLD", "the protocol version is too old"},
    {"UNSUPPORTED_TOO_NEW", "the protocol version is too new"},
};

static const char *describe(int group, int rc, int what) {
    const char *none = what ? unknown : "UNKNOWN";
    if (rc < 0) return none;
    if (group == BK_SMP_GROUP_BK) {
        if (rc >= BK_RC_COUNT) return none;
        return what ? bk_rc_own_text(rc) : pick(own_names, rc) + sizeof "BK_RC_" - 1;
    }
    if (group == BK_SMP_GROUP_FS) {
        return rc < (int)(sizeof fs_errors / sizeof fs_errors[0]) ? fs_errors[rc][what] : none;
    }
    if (group == BK_SMP_GROUP_ENUM) {
        return rc < (int)(sizeof enum_errors / sizeof enum_errors[0]) ? enum_errors[rc][what]
                                                                      : none;
    }
    if (group == BK_SMP_GROUP_NONE) {
        return rc < (int)(sizeof smp_errors / sizeof smp_errors[0]) ? smp_errors[rc][what] : none;
    }
    return none;
}

const char *bk_rc_name(int group, int rc) { return describe(group, rc, 0); }

const char *bk_rc_text(int group, int rc) { return describe(group, rc, 1); }

enum {
    FS_UNKNOWN = 1,
    FS_NAME = 2,
    FS_NOT_FOUND = 3,
    FS_READ = 7,
    FS_DELETE = 9,
    FS_WRITE = 10,
    FS_OFFSET = 12,
    FS_HASH = 13,
    FS_READ_ONLY = 15
};
enum {
    UNKNOWN = 1,
    NOMEM = 2,
    INVALID = 3,
    TIMED_OUT = 4,
    NOENT = 5,
    STATE = 6,
    NOTSUP = 8,
    CORRUPT = 9,
    BUSY = 10,
    ACCESS = 11
};

/* A table beside the sentences', so that a device which only answers has none of those. */
#define RELATIVES(name, number, fs, smp, text) {fs, smp},
static const uint8_t relatives[BK_RC_COUNT][2] = {{0, 0}, BK_RCS(RELATIVES)};

int bk_rc_as_fs(int rc) { return rc >= 0 && rc < BK_RC_COUNT ? relatives[rc][0] : FS_UNKNOWN; }

int bk_rc_as_smp(int rc) { return rc >= 0 && rc < BK_RC_COUNT ? relatives[rc][1] : UNKNOWN; }

bk_rc bk_rc_from_error(int error) {
    switch (error) {
    case BK_OK: return BK_RC_OK;
    case BK_ERR_TRUNCATED:
    case BK_ERR_MAGIC:
    case BK_ERR_MALFORMED: return BK_RC_MALFORMED;
    case BK_ERR_VERSION: return BK_RC_VERSION;
    case BK_ERR_LIMIT: return BK_RC_LIMIT;
    case BK_ERR_MEMORY: return BK_RC_TOO_LARGE;
    case BK_ERR_CONTEXT: return BK_RC_CONTEXT;
    case BK_ERR_ARGUMENT: return BK_RC_BAD_ARGUMENT;
    case BK_ERR_PATCH_MODEL: return BK_RC_WRONG_MODEL;
    case BK_ERR_PATCH_UNBOUND: return BK_RC_UNBOUND;
    case BK_ERR_PATCH_RANGE: return BK_RC_RANGE;
    case BK_ERR_PATCH_CRC: return BK_RC_BAD_CRC;
    case BK_ERR_PATCH_SIGNED: return BK_RC_SIGNATURE;
    case BK_ERR_READ_ONLY: return BK_RC_READ_ONLY;
    default: return BK_RC_INTERNAL;
    }
}
