# What the C device asks of a store: `_device.StorePort`. Included by _device.pyx.

cdef int _found(entry, bk_stored *out) except -1:
    if entry is None:
        return BK_RC_NO_SUCH_PATCH
    name, ident, size = entry
    raw = name.encode("ascii")
    if len(raw) >= sizeof(bk_smp_name):
        raise ValueError(f"name {name!r} is too long")
    memcpy(out.name, <char *>raw, <size_t>len(raw) + 1)
    out.id, out.size = ident, size
    return BK_RC_OK


cdef void _quota(void *p, bk_quota *q) noexcept:
    d = <Device>p
    try:
        patches, q.patch_bytes, total_bytes = d._store.quota()
        q.patches = min(patches, 0xFFFFFFFF)
        q.total_bytes = min(total_bytes, 0xFFFFFFFFFFFFFFFF)
    except BaseException as error:
        d._failed(error)
        memset(q, 0, sizeof(q[0]))


cdef int _at(void *p, uint32_t index, bk_stored *out) noexcept:
    d = <Device>p
    try:
        return _found(d._store.at(index), out)
    except BaseException as error:
        return d._failed(error)


cdef int _find(void *p, const char *name, bk_stored *out) noexcept:
    d = <Device>p
    try:
        return _found(d._store.find(name.decode("ascii")), out)
    except BaseException as error:
        return d._failed(error)


cdef int _by_id(void *p, uint32_t ident, bk_stored *out) noexcept:
    d = <Device>p
    try:
        return _found(d._store.by_id(ident), out)
    except BaseException as error:
        return d._failed(error)


cdef int _bytes(void *p, uint32_t ident, const uint8_t **data, size_t *n) noexcept:
    d = <Device>p
    try:
        found = d._held.setdefault(ident, d._store.read(ident))
        data[0], n[0] = <const uint8_t *><const char *>found, <size_t>len(found)
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef int _kept(void *p, uint32_t ident, const uint8_t **data, size_t *n) noexcept:
    d = <Device>p
    try:
        found = d._held.get(ident)
        if found is None:
            return _bytes(p, ident, data, n)
        data[0], n[0] = <const uint8_t *><const char *>found, <size_t>len(found)
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef int _as_set(ids, bk_patch_set *out) except -1:
    out.n = <uint32_t>len(ids)
    if out.n > BK_MAX_ACTIVE:
        raise ValueError(f"{out.n} patches in a set")
    for i in range(out.n):
        out.ids[i] = ids[i]
    return 0


cdef void _sets(void *p, bk_store_sets *out) noexcept:
    d = <Device>p
    memset(out, 0, sizeof(out[0]))
    try:
        active, previous, out.failed_starts = d._store.sets()
        _as_set(active, &out.active)
        _as_set(previous, &out.previous)
    except BaseException as error:
        d._failed(error)


cdef c_bool _sequence(void *p, const char *name, uint32_t *out) noexcept:
    d = <Device>p
    try:
        highest = d._store.sequence(name.decode("ascii"))
        out[0] = highest or 0
        return highest is not None
    except BaseException as error:
        d._failed(error)
        return False


cdef int _begin_upload(void *p, const char *name, uint32_t total) noexcept:
    d = <Device>p
    try:
        d._store.begin(name.decode("ascii"), total)
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef int _append(void *p, const uint8_t *data, size_t n) noexcept:
    d = <Device>p
    try:
        d._store.append((<const char *>data)[:n])
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef void _abort(void *p) noexcept:
    d = <Device>p
    detail = d._detail  # the sentence is about what led here
    try:
        d._pending = None
        d._store.abort()
    except BaseException as error:
        d._failed(error)
    d._detail = detail


cdef int _pending(void *p, const uint8_t **data, size_t *n) noexcept:
    d = <Device>p
    try:
        if d._pending is None:
            d._pending = d._store.pending()
        data[0], n[0] = <const uint8_t *><const char *>d._pending, <size_t>len(d._pending)
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef int _commit(void *p, c_bool has_sequence, uint32_t sequence, uint32_t *ident) noexcept:
    d = <Device>p
    try:
        ident[0] = d._store.commit(sequence if has_sequence else None)
        kept = {key: data for key, data in d._held.items() if d._store.by_id(key) is not None}
        d._held, d._pending = {ident[0]: d._pending} | kept, None
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef int _record(void *p, const bk_patch_set *wanted, c_bool gave_way) noexcept:
    d = <Device>p
    try:
        d._store.use([wanted.ids[i] for i in range(wanted.n)], bool(gave_way))
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef int _remove(void *p, const char *name, c_bool forget) noexcept:
    d = <Device>p
    try:
        d._store.remove(name.decode("ascii"), bool(forget))
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef int _count_start(void *p) noexcept:
    d = <Device>p
    try:
        d._store.count_start()
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef int _settle(void *p) noexcept:
    d = <Device>p
    try:
        d._store.settle()
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef const char *_store_detail(void *p) noexcept:
    detail = (<Device>p)._detail
    return NULL if detail is None else <const char *>detail
