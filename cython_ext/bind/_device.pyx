# cython: language_level=3
"""The core's device behind a store, a session and a port that are Python objects.

Imports neither NumPy nor the engine. Who calls it holds the GIL, and one call at a time is in it;
the callbacks of a call that is under way may release the GIL.
"""

from time import monotonic_ns

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.pycapsule cimport PyCapsule_New
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from bankai_edge.errors import CoreError

from bk_device cimport *


POLICIES = {"open": BK_POLICY_OPEN, "warn": BK_POLICY_WARN, "require": BK_POLICY_REQUIRE}
STRANGER, TRUSTED, REVOKED = BK_KEY_STRANGER, BK_KEY_TRUSTED, BK_KEY_REVOKED


class DeviceError(Exception):
    """An error of our group, as a device answers it: an rc and one sentence, or none."""

    def __init__(self, rc, detail=""):
        self.rc = int(rc)
        self.detail = detail
        text = bk_rc_text(BK_SMP_GROUP_BK, self.rc).decode("ascii")
        self.sentence = f"{text}: {detail}" if detail else text
        super().__init__(f"{bk_rc_name(BK_SMP_GROUP_BK, self.rc).decode('ascii')}: "
                         f"{detail or text}")


class PromptError(Exception):
    """A prompt without a token, or of as many as the context holds, or more."""

    def __init__(self, tokens):
        self.tokens = tokens
        super().__init__(f"a prompt of {tokens} tokens")


cdef class Device:
    """One device. `self._raised` is what no answer may swallow: KeyboardInterrupt and its like."""

    cdef bk_device _d
    cdef bk_smp _smp
    cdef bk_device_store _store_hooks
    cdef bk_device_session _session_hooks
    cdef bk_device_port _port_hooks
    cdef bk_trust _trust_hooks
    cdef object _store, _session, _port, _trust, _raised, _start_ns
    cdef dict _held          # id -> the patch's bytes, which the core has views of
    cdef bytes _pending, _detail, _version, _model_id, _model_name, _kernel
    cdef uint32_t _ctx
    cdef bint _in_place
    cdef size_t _room
    cdef bytearray _answer, _piece, _packet
    cdef char _about[200]

    def __init__(self, store not None, session not None, port not None, trust not None, *,
                 str version not None, str policy not None, double probe_budget_s,
                 size_t buf_size=1024, buf_count=4):
        if not 128 <= buf_size <= 65535:
            raise ValueError(f"buf_size {buf_size}; expected 128 to 65535")
        self._store, self._session, self._port, self._trust = store, session, port, trust
        self._held = {}
        self._start_ns = monotonic_ns()
        self._version = version.encode()
        self._model_id, self._model_name = bytes(session.model_id), session.model_name.encode()
        self._kernel, self._ctx = session.kernel.encode(), session.ctx
        self._in_place, self._room = session.in_place, session.room_bytes
        self._answer = bytearray(session.answer_bytes)
        self._piece = bytearray(self._room)
        self._packet = bytearray(buf_size)
        self._fill()
        self.policy = policy
        cdef bk_device_parts parts
        memset(&parts, 0, sizeof(parts))
        parts.port, parts.store = &self._port_hooks, &self._store_hooks
        parts.session, parts.trust = &self._session_hooks, &self._trust_hooks
        parts.probe_budget_ms = <uint32_t>min(probe_budget_s * 1000, 4294967295.0)
        parts.answer = <uint8_t *><char *>self._answer
        parts.answer_bytes = <size_t>len(self._answer)
        parts.piece = <uint8_t *><char *>self._piece
        parts.piece_bytes = <size_t>len(self._piece)
        bk_device_init(&self._d, &parts)
        bk_device_about(&self._d, b"", self._about, sizeof(self._about))
        bk_smp_init(&self._smp, &bk_device_hooks, &self._d, self._about, <uint32_t>buf_size,
                    buf_count)

    @property
    def policy(self):
        """Whether a patch has to be signed by a trusted key: open, warn or require."""
        return {number: name for name, number in POLICIES.items()}[self._trust_hooks.policy]

    @policy.setter
    def policy(self, str name not None):
        self._trust_hooks.policy = POLICIES[name]

    def restore(self):
        """At start: bring the recorded set back, or what of it works."""
        bk_device_restore(&self._d)
        self._reraise()

    def packet(self, const uint8_t[::1] packet not None):
        """Answer one SMP packet; b"" where SMP stays silent."""
        cdef size_t n = <size_t>packet.shape[0]
        cdef uint8_t *answer = <uint8_t *><char *>self._packet
        bk_device_step(&self._d)
        cdef int length = bk_smp_handle(&self._smp, &packet[0] if n else NULL, n, answer,
                                        <size_t>len(self._packet))
        self._reraise()
        return (<char *>answer)[:length] if length > 0 else b""

    def drop_upload(self):
        """Drop an open upload, as when its line went away."""
        bk_smp_drop_upload(&self._smp)

    def push(self, str name not None, bytes data not None):
        """Take a file in as an upload does; raises DeviceError."""
        raw = name.encode()
        cdef const char *c_name = raw
        cdef const uint8_t *p = <const uint8_t *><const char *>data
        cdef int rc = bk_device_hooks.upload_begin(&self._d, c_name, <uint32_t>len(data))
        if rc == BK_RC_OK:
            rc = bk_device_hooks.upload_write(&self._d, c_name, 0, p, <size_t>len(data))
        if rc == BK_RC_OK:
            rc = bk_device_hooks.upload_finish(&self._d, c_name)
        detail = (<bytes>(<const char *>self._d.detail)).decode("utf-8", "replace")
        bk_device_hooks.upload_abort(&self._d, c_name)
        self._reraise()
        if rc:
            raise DeviceError(rc, detail)

    def use(self, names):
        """Make exactly this set active; returns the switch time in ns. Raises DeviceError."""
        cdef bk_smp_name wanted[BK_MAX_ACTIVE]
        cdef uint64_t ns = 0
        cdef size_t n = <size_t>len(names)
        if n > BK_MAX_ACTIVE:
            raise ValueError(f"{n} patches in a set")
        for i in range(n):
            raw = names[i].encode()
            if len(raw) >= sizeof(bk_smp_name):
                raise ValueError(f"name {names[i]!r} is too long")
            memcpy(wanted[i], <const char *>(<bytes>raw), <size_t>len(raw) + 1)
        cdef int rc = bk_device_use(&self._d, <const bk_smp_name *>wanted, n, &ns)
        self._reraise()
        if rc:
            raise DeviceError(rc, (<bytes>(<const char *>self._d.detail)).decode("utf-8", "replace"))
        return ns

    cdef int _reraise(self) except -1:
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        return 0

    cdef int _failed(self, error):
        """The rc that stands for what a callback raised; its sentence is kept for `detail`."""
        self._detail = None
        if isinstance(error, CoreError):
            return error.code
        rc = getattr(error, "rc", None)
        if rc is not None:
            self._detail = error.detail.encode("utf-8", "replace") if error.detail else None
            return rc if 0 < rc < BK_RC_COUNT else BK_RC_INTERNAL
        if not isinstance(error, Exception):
            self._raised = error
            return BK_RC_INTERNAL
        import logging

        logging.getLogger(__name__).error("device failed", exc_info=error)
        self._detail = f"{type(error).__name__}: {error}".encode("utf-8", "replace")
        return BK_RC_INTERNAL

    cdef int _failed_saying(self, error, bk_say *why):
        cdef int rc = self._failed(error)
        if self._detail is not None:
            bk_say_bytes(why, self._detail, <size_t>len(self._detail))
        return rc

    cdef int _fill(self) except -1:
        cdef void *me = <void *>self
        memset(&self._store_hooks, 0, sizeof(self._store_hooks))
        memset(&self._session_hooks, 0, sizeof(self._session_hooks))
        memset(&self._port_hooks, 0, sizeof(self._port_hooks))
        memset(&self._trust_hooks, 0, sizeof(self._trust_hooks))
        s, m, p, t = &self._store_hooks, &self._session_hooks, &self._port_hooks, &self._trust_hooks
        s.self = m.self = p.self = t.self = me
        s.quota, s.at, s.find, s.by_id = _quota, _at, _find, _by_id
        s.bytes, s.kept = _bytes, _kept
        s.sets, s.sequence, s.begin, s.append = _sets, _sequence, _begin_upload, _append
        s.abort, s.pending, s.commit, s.use = _abort, _pending, _commit, _record
        s.remove, s.count_start, s.settle, s.detail = _remove, _count_start, _settle, _store_detail
        m.about, m.check, m.use, m.weights, m.hold = _about, _check, _use, _weights, _hold
        m.begin, m.poll, m.cancel, m.bench, m.logits = _begin, _poll, _cancel, _bench, _logits
        p.version, p.ns, p.ms, p.log, p.reset = self._version, _ns, _ms, _log, _reset
        p.facts, p.datetime = _port_facts, _datetime
        if self._trust.can_verify:
            t.verify = _verify
        t.look_up = _look_up
        return 0


cdef class Shell:
    """The line shell of one line."""

    cdef bk_shell _s
    cdef Device _device
    cdef list _said

    def __init__(self, Device device not None):
        cdef bk_text_sink sink
        self._device = device
        self._said = []
        sink.put, sink.to = _say_line, <void *>self
        bk_shell_init(&self._s, &device._d, sink)

    def answer(self, bytes line not None):
        """The answer to one line, or its beginning: `step` has the rest."""
        bk_device_step(&self._device._d)
        bk_shell_answer(&self._s, line, <size_t>len(line))
        self._device._reraise()
        return self._taken()

    def step(self):
        """What has come since, or None when no more will."""
        bk_device_step(&self._device._d)
        more = bk_shell_step(&self._s)
        self._device._reraise()
        text = self._taken()
        return text if more or text else None

    def _taken(self):
        text = b"".join(self._said).decode("utf-8", "replace")
        self._said.clear()
        return text


cdef void _say_line(void *to, const char *p, size_t n) noexcept:
    (<Shell>to)._said.append(p[:n])


include "_device_store.pxi"


# ---- the session ----------------------------------------------------------------------------


cdef tuple _lent(const bk_patch *patch):
    """A decoded patch for the engine: a capsule good for this call, and its bytes."""
    payload = PyBytes_FromStringAndSize(<const char *>patch.whole.p, <Py_ssize_t>patch.whole.n)
    return PyCapsule_New(<void *>patch, "bk_patch", NULL), payload


cdef void _about(void *p, bk_session_about *out) noexcept:
    d = <Device>p
    memset(out, 0, sizeof(out[0]))
    out.known = out.runs = True
    out.in_place = d._in_place
    out.model_id = <const uint8_t *><const char *>d._model_id
    out.model_name.p, out.model_name.n = <const char *>d._model_name, <size_t>len(d._model_name)
    out.ctx, out.kernel, out.room = d._ctx, <const char *>d._kernel, d._room


cdef int _check(void *p, const bk_members *running, const bk_patch *patch) noexcept:
    d = <Device>p
    try:
        d._session.check(_lent(patch))
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef int _use(void *p, const bk_members *running, const bk_members *wanted, uint64_t *ns,
              bk_say *why) noexcept:
    d = <Device>p
    try:
        ns[0] = d._session.use([_lent(wanted.patches[i]) for i in range(wanted.set.n)])
        return BK_RC_OK
    except BaseException as error:
        return d._failed_saying(error, why)


cdef int _weights(void *p, const bk_members *running, uint8_t *digest, c_bool *intact) noexcept:
    d = <Device>p
    try:
        raw, good = d._session.weights()
        memcpy(digest, <const char *>(<bytes>raw), 32)
        intact[0] = good
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef void _hold(void *p, c_bool on) noexcept:
    d = <Device>p
    try:
        d._session.hold(bool(on))
    except BaseException as error:
        d._failed(error)


cdef int _begin(void *p, const char *prompt, size_t n, uint32_t max_tokens, c_bool probe,
                uint32_t *ticket, uint32_t *tokens) noexcept:
    d = <Device>p
    try:
        ticket[0] = d._session.begin(prompt[:n].decode("utf-8"), max_tokens, bool(probe))
        return BK_RC_OK
    except PromptError as error:
        tokens[0] = error.tokens
        return BK_ERR_CONTEXT if error.tokens else BK_ERR_ARGUMENT
    except UnicodeDecodeError:
        return BK_ERR_ARGUMENT
    except BaseException as error:
        return d._failed(error)


cdef void _poll(void *p, uint32_t ticket, c_bool wait, uint8_t *out, size_t cap,
                bk_piece *piece, bk_say *why) noexcept:
    d = <Device>p
    memset(piece, 0, sizeof(piece[0]))
    try:
        text, piece.steps, piece.us, piece.done = d._session.poll(ticket, bool(wait), cap)
        memcpy(out, <const char *>(<bytes>text), <size_t>len(text))
        piece.n = <size_t>len(text)
    except BaseException as error:
        piece.done = True
        piece.rc = d._failed_saying(error, why)


cdef void _cancel(void *p, uint32_t ticket) noexcept:
    d = <Device>p
    try:
        d._session.cancel(ticket)
    except BaseException as error:
        d._failed(error)


cdef int _put(bk_facts *out, fields) except -1:
    """Write a mapping; raises TypeError for a value that the wire has no form for."""
    for name, value in fields.items():
        key = name.encode()
        if isinstance(value, bool):
            bk_facts_bool(out, key, value)
        elif isinstance(value, int):
            bk_facts_uint(out, key, value)
        elif isinstance(value, str):
            text = value.encode("utf-8", "replace")
            bk_facts_text(out, key, text, <size_t>len(text))
        elif isinstance(value, bytes):
            bk_facts_bytes(out, key, <const uint8_t *><const char *>value, <size_t>len(value))
        elif isinstance(value, (list, tuple)):
            bk_facts_begin(out, key)
            for item in value:
                text = item.encode("utf-8", "replace")
                bk_facts_add(out, text, <size_t>len(text))
            bk_facts_end(out)
        else:
            raise TypeError(f"{name}: cannot send a {type(value).__name__}")
    return 0


cdef int _bench(void *p, bk_facts *out, bk_say *why) noexcept:
    d = <Device>p
    try:
        _put(out, d._session.bench())
        return BK_RC_OK
    except BaseException as error:
        return d._failed_saying(error, why)


cdef int _logits(void *p, const char *text, size_t n, uint8_t *digest, bk_say *why) noexcept:
    d = <Device>p
    try:
        raw = d._session.logits(text[:n].decode("utf-8", "replace"))
        memcpy(digest, <const char *>(<bytes>raw), 32)
        return BK_RC_OK
    except BaseException as error:
        return d._failed_saying(error, why)


# ---- the port and its keys ------------------------------------------------------------------


cdef uint64_t _ns(void *p) noexcept:
    return monotonic_ns()


cdef uint32_t _ms(void *p) noexcept:
    return <uint32_t>(<uint64_t>(monotonic_ns() - (<Device>p)._start_ns) // 1000000)


cdef void _log(void *p, const char *sentence) noexcept:
    d = <Device>p
    try:
        d._port.log(sentence.decode("utf-8", "replace"))
    except BaseException as error:
        d._failed(error)


cdef void _reset(void *p, c_bool at_once) noexcept:
    d = <Device>p
    try:
        d._port.reset()
    except BaseException as error:
        d._failed(error)


cdef void _port_facts(void *p, bk_facts *out) noexcept:
    d = <Device>p
    try:
        _put(out, d._port.facts())
    except BaseException as error:
        d._failed(error)


cdef int _datetime(void *p, char *text, size_t cap) noexcept:
    d = <Device>p
    try:
        raw = d._port.datetime().encode("ascii")
        if <size_t>len(raw) >= cap:
            raise ValueError("a date and time that long is none")
        memcpy(text, <const char *>(<bytes>raw), <size_t>len(raw) + 1)
        return BK_RC_OK
    except BaseException as error:
        return d._failed(error)


cdef c_bool _verify(void *p, const bk_cose *e) noexcept:
    d = <Device>p
    cdef uint8_t head[BK_COSE_HEAD_MAX]
    cdef size_t n = bk_cose_signed_head(e, head)
    try:
        return bool(d._trust.verify(
            (<const char *>e.public_key)[:BK_COSE_KEY],
            (<const char *>e.signature)[:BK_COSE_SIGNATURE],
            (<const char *>head)[:n] + (<const char *>e.payload.p)[:e.payload.n]))
    except BaseException as error:
        d._failed(error)
        return False


cdef bk_key_state _look_up(void *p, const uint8_t *key) noexcept:
    d = <Device>p
    try:
        return d._trust.look_up((<const char *>key)[:BK_COSE_KEY])
    except BaseException as error:
        d._failed(error)
        return BK_KEY_REVOKED
