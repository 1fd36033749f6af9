# The C device as the binding sees it (cython_ext/device/).
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "stdbool.h":
    ctypedef bint c_bool "bool"

cdef extern from "bk_error.h":
    enum: BK_ERR_ARGUMENT, BK_ERR_CONTEXT

cdef extern from "bk_smp.h":
    enum: BK_RC_COUNT, BK_RC_OK, BK_RC_INTERNAL, BK_RC_NO_SUCH_PATCH, BK_RC_NOT_SUPPORTED
    enum: BK_SMP_GROUP_BK, BK_MAX_ACTIVE
    const char *bk_rc_name(int group, int rc)
    const char *bk_rc_text(int group, int rc)
    ctypedef char bk_smp_name[33]
    ctypedef struct bk_smp_hooks:
        int (*upload_begin)(void *, const char *, uint32_t) noexcept
        int (*upload_write)(void *, const char *, uint32_t, const uint8_t *, size_t) noexcept
        int (*upload_finish)(void *, const char *) noexcept
        void (*upload_abort)(void *, const char *) noexcept
    ctypedef struct bk_smp:
        pass
    void bk_smp_init(bk_smp *s, const bk_smp_hooks *hooks, void *self, const char *about,
                     uint32_t buf_size, uint32_t buf_count)
    int bk_smp_handle(bk_smp *s, const uint8_t *req, size_t n, uint8_t *rsp, size_t cap)
    void bk_smp_drop_upload(bk_smp *s)

cdef extern from "bk_say.h":
    ctypedef struct bk_say:
        pass
    void bk_say_bytes(bk_say *s, const char *p, size_t n)

cdef extern from "bk_patch.h":
    ctypedef struct bk_str:
        const char *p
        size_t n
    ctypedef struct bk_span:
        const uint8_t *p
        size_t n
    ctypedef struct bk_patch:
        bk_span whole

cdef extern from "bk_cose.h":
    enum: BK_COSE_KEY, BK_COSE_SIGNATURE, BK_COSE_HEAD_MAX
    ctypedef struct bk_cose:
        const uint8_t *public_key
        const uint8_t *signature
        bk_span payload
    size_t bk_cose_signed_head(const bk_cose *envelope, uint8_t *head)

cdef extern from "bk_facts.h":
    ctypedef struct bk_text_sink:
        void (*put)(void *to, const char *p, size_t n) noexcept
        void *to
    ctypedef struct bk_facts:
        pass
    void bk_facts_uint(bk_facts *f, const char *key, uint64_t v)
    void bk_facts_bool(bk_facts *f, const char *key, c_bool v)
    void bk_facts_text(bk_facts *f, const char *key, const char *text, size_t n)
    void bk_facts_bytes(bk_facts *f, const char *key, const uint8_t *p, size_t n)
    void bk_facts_begin(bk_facts *f, const char *key)
    void bk_facts_add(bk_facts *f, const char *text, size_t n)
    void bk_facts_end(bk_facts *f)

cdef extern from "bk_device.h":
    enum: BK_POLICY_OPEN, BK_POLICY_WARN, BK_POLICY_REQUIRE
    ctypedef enum bk_policy:
        pass
    ctypedef enum bk_key_state:
        BK_KEY_STRANGER, BK_KEY_TRUSTED, BK_KEY_REVOKED
    ctypedef struct bk_patch_set:
        uint32_t n
        uint32_t ids[1]
    ctypedef struct bk_stored:
        bk_smp_name name
        uint32_t id, size
    ctypedef struct bk_store_sets:
        bk_patch_set active, previous
        uint32_t failed_starts
    ctypedef struct bk_quota:
        uint32_t patches, patch_bytes
        uint64_t total_bytes
    ctypedef struct bk_device_store:
        void *self
        void (*quota)(void *, bk_quota *) noexcept
        int (*at)(void *, uint32_t, bk_stored *) noexcept
        int (*find)(void *, const char *, bk_stored *) noexcept
        int (*by_id)(void *, uint32_t, bk_stored *) noexcept
        int (*bytes)(void *, uint32_t, const uint8_t **, size_t *) noexcept
        int (*kept)(void *, uint32_t, const uint8_t **, size_t *) noexcept
        void (*sets)(void *, bk_store_sets *) noexcept
        c_bool (*sequence)(void *, const char *, uint32_t *) noexcept
        int (*begin)(void *, const char *, uint32_t) noexcept
        int (*append)(void *, const uint8_t *, size_t) noexcept
        void (*abort)(void *) noexcept
        int (*pending)(void *, const uint8_t **, size_t *) noexcept
        int (*commit)(void *, c_bool, uint32_t, uint32_t *) noexcept
        int (*use)(void *, const bk_patch_set *, c_bool) noexcept
        int (*remove)(void *, const char *, c_bool) noexcept
        int (*count_start)(void *) noexcept
        int (*settle)(void *) noexcept
        const char *(*detail)(void *) noexcept
    ctypedef struct bk_session_about:
        c_bool known, runs, in_place
        const uint8_t *model_id
        bk_str model_name
        uint32_t ctx
        const char *kernel
        size_t room
    ctypedef struct bk_members:
        bk_patch_set set
        const bk_patch *patches[1]
    ctypedef struct bk_piece:
        size_t n
        uint32_t steps
        uint64_t us
        c_bool done
        int rc
    ctypedef struct bk_device_session:
        void *self
        void (*about)(void *, bk_session_about *) noexcept
        int (*check)(void *, const bk_members *, const bk_patch *) noexcept
        int (*use)(void *, const bk_members *, const bk_members *, uint64_t *, bk_say *) noexcept
        int (*weights)(void *, const bk_members *, uint8_t *, c_bool *) noexcept
        void (*hold)(void *, c_bool) noexcept
        int (*begin)(void *, const char *, size_t, uint32_t, c_bool, uint32_t *,
                     uint32_t *) noexcept
        void (*poll)(void *, uint32_t, c_bool, uint8_t *, size_t, bk_piece *, bk_say *) noexcept
        void (*cancel)(void *, uint32_t) noexcept
        int (*bench)(void *, bk_facts *, bk_say *) noexcept
        int (*logits)(void *, const char *, size_t, uint8_t *, bk_say *) noexcept
    ctypedef struct bk_device_port:
        void *self
        const char *version
        uint64_t (*ns)(void *) noexcept
        uint32_t (*ms)(void *) noexcept
        void (*log)(void *, const char *) noexcept
        void (*reset)(void *, c_bool) noexcept
        void (*facts)(void *, bk_facts *) noexcept
        int (*datetime)(void *, char *, size_t) noexcept
    ctypedef struct bk_trust:
        void *self
        bk_policy policy
        c_bool (*verify)(void *, const bk_cose *) noexcept
        bk_key_state (*look_up)(void *, const uint8_t *) noexcept
    ctypedef struct bk_device_parts:
        const bk_device_port *port
        const bk_device_store *store
        const bk_device_session *session
        const bk_trust *trust
        uint32_t probe_budget_ms
        uint8_t *answer
        uint8_t *piece
        size_t answer_bytes, piece_bytes
    ctypedef struct bk_device:
        char detail[161]
    const bk_smp_hooks bk_device_hooks
    void bk_device_init(bk_device *d, const bk_device_parts *parts)
    void bk_device_restore(bk_device *d)
    c_bool bk_device_step(bk_device *d)
    int bk_device_use(bk_device *d, const bk_smp_name *names, size_t n, uint64_t *ns)
    void bk_device_about(const bk_device *d, const char *board, char *text, size_t cap)

cdef extern from "bk_shell.h":
    ctypedef struct bk_shell:
        pass
    void bk_shell_init(bk_shell *s, bk_device *device, bk_text_sink sink)
    void bk_shell_answer(bk_shell *s, const char *line, size_t n)
    c_bool bk_shell_step(bk_shell *s)
