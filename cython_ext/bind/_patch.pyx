"""Binding of the core's patch room: bytes in; checks, flips and overlays out; GIL released."""

from cpython.bytes cimport PyBytes_AsString, PyBytes_Size
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport uint8_t, uint32_t, uintptr_t
from libc.stdlib cimport free, malloc

from bk_core cimport bk_model, bk_str

from bankai_edge.errors import CoreError

cdef extern from "bk_patch.h":
    enum:
        BK_MAX_ACTIVE
        BK_ERR_LIMIT
    ctypedef struct bk_span:
        const uint8_t *p
        size_t n
    ctypedef struct bk_patch:
        bk_span whole
        bk_str name, domain
        const uint8_t *model_id
        uint32_t n_flips[3]
        uint32_t crc, n_canaries, sequence
        bint has_sequence
    int bk_patch_parse(const uint8_t *data, size_t n, bk_patch *patch) nogil
    void bk_patch_move(bk_patch *patch, const uint8_t *data) nogil
    int bk_patch_check(const bk_patch *patch, const bk_model *model, bint allow_unbound) nogil
    int bk_patch_row_crc(const bk_patch *patch, const bk_model *model, uint32_t *crc) nogil
    int bk_patch_xor(const bk_patch *patch, bk_model *model) nogil
    int bk_patch_swap(bk_model *model, const bk_patch **old_set, uint32_t n_old,
                      const bk_patch **new_set, uint32_t n_new, bint allow_unbound) nogil

cdef extern from "bk_cose.h":
    enum:
        BK_COSE_KEY
        BK_COSE_SIGNATURE
        BK_COSE_HEAD_MAX
    ctypedef struct bk_cose:
        const uint8_t *public_key
        const uint8_t *signature
        bk_span payload
    bint bk_cose_is(const uint8_t *data, size_t n) nogil
    int bk_cose_open(const uint8_t *data, size_t n, bk_cose *envelope) nogil
    size_t bk_cose_signed_head(const bk_cose *envelope, uint8_t *head) nogil

cdef extern from "bk_overlay.h":
    ctypedef struct bk_overlay:
        uint32_t n_rows, n_shadows

cdef extern from "bk_overlay_build.h":
    int bk_overlay_bytes(const bk_patch **patches, uint32_t n, const bk_model *model,
                         size_t *n_bytes) nogil
    int bk_overlay_build(bk_overlay *overlay, const bk_patch **patches, uint32_t n,
                         const bk_model *model, void *mem, size_t size) nogil


cdef class Patch:
    """A decoded .bkp and the bytes that it is views of; equal to another with the same bytes."""

    cdef bk_patch _patch
    cdef bytes _data

    def __cinit__(self, data not None, decode=True):
        self._data = bytes(data)
        cdef int err
        if decode:
            err = bk_patch_parse(<const uint8_t *>PyBytes_AsString(self._data),
                                 PyBytes_Size(self._data), &self._patch)
            if err:
                raise CoreError(err)

    @staticmethod
    def adopt(capsule, bytes data not None):
        """What a capsule's `bk_patch` was decoded into, over the same bytes."""
        cdef Patch one = Patch(data, False)
        one._patch = (<bk_patch *>PyCapsule_GetPointer(capsule, "bk_patch"))[0]
        bk_patch_move(&one._patch, <const uint8_t *>PyBytes_AsString(one._data))
        return one

    @staticmethod
    def of(patch):
        """The patch itself, or that of its bytes."""
        return patch if isinstance(patch, Patch) else Patch(patch)

    def __bytes__(self):
        return self._data

    def __eq__(self, other):
        return isinstance(other, Patch) and bytes(self) == bytes(other)

    def __hash__(self):
        return hash(self._data)


cdef class _Set:
    """Up to BK_MAX_ACTIVE patches, decoded here unless they are already."""

    cdef list _members
    cdef const bk_patch *_pointers[BK_MAX_ACTIVE]
    cdef uint32_t n

    def __cinit__(self, patches):
        self._members = [Patch.of(patch) for patch in patches]
        if len(self._members) > BK_MAX_ACTIVE:
            raise CoreError(BK_ERR_LIMIT,
                            f"{len(self._members)} patches, at most {BK_MAX_ACTIVE}")
        for i, member in enumerate(self._members):
            self._pointers[i] = &(<Patch>member)._patch
        self.n = <uint32_t>len(self._members)


cdef str name_of(const bk_patch *patch):
    return patch.name.p[:patch.name.n].decode()


cdef bk_model *model_of(model) except NULL:
    return <bk_model *>PyCapsule_GetPointer(model.capsule(), "bk_model")


def parse(data):
    """Decode strictly; the fields that need no model, flips as their numbers."""
    cdef _Set one = _Set([data])
    cdef const bk_patch *patch = one._pointers[0]
    return {
        "name": name_of(patch),
        "domain": patch.domain.p[:patch.domain.n].decode() if patch.domain.n else None,
        "model_id": bytes((<const uint8_t *>patch.model_id)[:32]) if patch.model_id else None,
        "crc": patch.crc if patch.model_id else None,
        "rows": patch.n_flips[0], "groups": patch.n_flips[1], "bits": patch.n_flips[2],
        "canaries": patch.n_canaries,
        "sequence": patch.sequence if patch.has_sequence else None,
    }


def is_signed(bytes data not None):
    """Do these bytes begin like an envelope?"""
    return bk_cose_is(<const uint8_t *>PyBytes_AsString(data), PyBytes_Size(data))


def unwrap(bytes data not None):
    """(payload, public key, signature, signed head) of an envelope; nothing is verified."""
    cdef bk_cose envelope
    cdef uint8_t head[BK_COSE_HEAD_MAX]
    err = bk_cose_open(<const uint8_t *>PyBytes_AsString(data), PyBytes_Size(data), &envelope)
    if err:
        raise CoreError(err)
    cdef size_t n = bk_cose_signed_head(&envelope, head)
    return (
        (<const char *>envelope.payload.p)[:envelope.payload.n],
        (<const char *>envelope.public_key)[:BK_COSE_KEY],
        (<const char *>envelope.signature)[:BK_COSE_SIGNATURE],
        (<const char *>head)[:n],
    )


def check(model, data, bint allow_unbound=False):
    """Model id, ranges, CRC over the pristine rows."""
    cdef _Set one = _Set([data])
    cdef bk_model *m = model_of(model)
    cdef int err
    with nogil:
        err = bk_patch_check(one._pointers[0], m, allow_unbound)
    if err:
        raise CoreError(err, name_of(one._pointers[0]))


def row_crc(model, data):
    """CRC-32C over every distinct row that the patch touches."""
    cdef _Set one = _Set([data])
    cdef bk_model *m = model_of(model)
    cdef uint32_t crc = 0
    cdef int err
    with nogil:
        err = bk_patch_row_crc(one._pointers[0], m, &crc)
    if err:
        raise CoreError(err, name_of(one._pointers[0]))
    return crc


def xor_in_place(model, data):
    """Flip in place; flipping again reverts."""
    cdef _Set one = _Set([data])
    cdef bk_model *m = model_of(model)
    cdef int err
    with nogil:
        err = bk_patch_xor(one._pointers[0], m)
    if err:
        raise CoreError(err, name_of(one._pointers[0]))


def swap(model, old, new, bint allow_unbound=False):
    """Replace one active set by another in place, or leave the old one."""
    cdef _Set before = _Set(old)
    cdef _Set after = _Set(new)
    cdef bk_model *m = model_of(model)
    cdef int err
    with nogil:
        err = bk_patch_swap(m, before._pointers, before.n, after._pointers, after.n,
                            allow_unbound)
    if err:
        raise CoreError(err)


cdef class Overlay:
    """Checked patches over weights that stay untouched; owns its memory, keeps the model."""

    cdef object _model
    cdef bk_overlay _overlay
    cdef void *_memory
    cdef readonly size_t n_bytes
    cdef readonly uint32_t n_rows, n_shadows

    def __cinit__(self, model, patches):
        cdef _Set files = _Set(patches)
        cdef bk_model *m = model_of(model)
        cdef int err
        self._model = model
        with nogil:
            err = bk_overlay_bytes(files._pointers, files.n, m, &self.n_bytes)
        if err:
            raise CoreError(err)
        self._memory = malloc(self.n_bytes)
        if self._memory == NULL:
            raise MemoryError(f"{self.n_bytes} bytes for an overlay")
        with nogil:
            err = bk_overlay_build(&self._overlay, files._pointers, files.n, m, self._memory,
                                   self.n_bytes)
        if err:
            raise CoreError(err)
        self.n_rows, self.n_shadows = self._overlay.n_rows, self._overlay.n_shadows

    def __dealloc__(self):
        free(self._memory)

    def capsule(self):
        """The `bk_overlay *`; valid while this object lives."""
        return PyCapsule_New(&self._overlay, "bk_overlay", NULL)
