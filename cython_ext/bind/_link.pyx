# cython: language_level=3
"""Serial framing and the SMP server of the core; imports neither NumPy nor the engine."""

from time import monotonic, strftime

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "bk_crc.h":
    uint32_t bk_crc32c(uint32_t crc, const uint8_t *p, size_t n) nogil
    uint32_t bk_crc32_ieee(uint32_t crc, const uint8_t *p, size_t n) nogil

cdef extern from "bk_frame.h":
    enum: BK_FRAME_PACKET_MAX, BK_FRAME_LINE_MIN, BK_FRAME_OVERHEAD
    ctypedef enum bk_frame_event:
        BK_FRAME_NONE, BK_FRAME_PACKET, BK_FRAME_LINE
    ctypedef struct bk_frame_reader:
        uint8_t *packet
        uint8_t *line
        size_t packet_n, line_n
        uint32_t errors
    ctypedef int (*bk_frame_sink)(void *to, const uint8_t *p, size_t n) noexcept
    void bk_frame_reader_init(bk_frame_reader *r, uint8_t *packet, size_t packet_cap,
                              uint8_t *line, size_t line_cap)
    void bk_frame_reader_reset(bk_frame_reader *r)
    size_t bk_frame_feed_bytes(bk_frame_reader *r, const uint8_t *p, size_t n,
                               bk_frame_event *event)
    int bk_frame_write(const uint8_t *packet, size_t n, uint32_t line_length, bk_frame_sink sink,
                       void *to)
    size_t bk_frame_size(size_t n, uint32_t line_length)

cdef extern from "bk_smp.h":
    enum: BK_RC_COUNT, BK_RC_OK, BK_RC_INTERNAL, BK_RC_NO_SUCH_PATCH, BK_RC_IO, BK_RC_BAD_ARGUMENT
    enum: BK_SMP_GROUP_BK, BK_SMP_MIN_BUFFER
    const char *bk_rc_name(int group, int rc)
    const char *bk_rc_text(int group, int rc)
    ctypedef char bk_smp_name[33]
    ctypedef struct bk_smp_entry:
        bk_smp_name name
        uint32_t size
        bint active
    ctypedef struct bk_smp_output:
        size_t n
        uint32_t tokens
        uint64_t us
        bint done
    ctypedef struct bk_smp_fields:
        pass
    void bk_smp_put_uint(bk_smp_fields *f, const char *key, uint64_t v)
    void bk_smp_put_int(bk_smp_fields *f, const char *key, int64_t v)
    void bk_smp_put_bool(bk_smp_fields *f, const char *key, bint v)
    void bk_smp_put_text(bk_smp_fields *f, const char *key, const char *text, size_t n)
    void bk_smp_put_bytes(bk_smp_fields *f, const char *key, const uint8_t *p, size_t n)
    void bk_smp_begin_texts(bk_smp_fields *f, const char *key)
    void bk_smp_add_text(bk_smp_fields *f, const char *text, size_t n)
    void bk_smp_end_texts(bk_smp_fields *f)
    ctypedef struct bk_smp_hooks:
        int (*upload_begin)(void *, const char *, uint32_t) noexcept
        int (*upload_write)(void *, const char *, uint32_t, const uint8_t *, size_t) noexcept
        int (*upload_finish)(void *, const char *) noexcept
        void (*upload_abort)(void *, const char *) noexcept
        int (*file_size)(void *, const char *, uint32_t *) noexcept
        int (*file_read)(void *, const char *, uint32_t, uint8_t *, size_t) noexcept
        int (*list)(void *, uint32_t, bk_smp_entry *) noexcept
        int (*activate)(void *, const bk_smp_name *, size_t, uint64_t *) noexcept
        int (*deactivate)(void *, const bk_smp_name *, size_t, uint64_t *) noexcept
        int (*remove)(void *, const char *) noexcept
        int (*rollback)(void *, uint64_t *) noexcept
        int (*verify)(void *, bk_smp_fields *) noexcept
        int (*generate)(void *, const char *, size_t, uint32_t) noexcept
        int (*output)(void *, uint32_t, uint8_t *, size_t, bk_smp_output *) noexcept
        int (*info)(void *, bk_smp_fields *) noexcept
        int (*bench)(void *, bk_smp_fields *) noexcept
        int (*reset)(void *) noexcept
        const char *(*detail)(void *) noexcept
        int (*datetime)(void *, char *, size_t) noexcept
        uint32_t (*clock_ms)(void *) noexcept
    ctypedef struct bk_smp:
        pass
    void bk_smp_init(bk_smp *s, const bk_smp_hooks *hooks, void *self, const char *about,
                     uint32_t buf_size, uint32_t buf_count)
    int bk_smp_handle(bk_smp *s, const uint8_t *req, size_t n, uint8_t *rsp, size_t cap)
    void bk_smp_drop_upload(bk_smp *s)

BK_GROUP = BK_SMP_GROUP_BK
RC = {bk_rc_name(BK_SMP_GROUP_BK, i).decode("ascii"): i for i in range(BK_RC_COUNT)}

cdef enum:
    LINE_MAX = 1024  # bytes of one line that a human types


class FrameError(Exception):
    """A packet or a line length that the serial framing cannot carry."""


class DeviceError(Exception):
    """What a Device raises to answer a request with an error of our group."""

    def __init__(self, rc, detail=""):
        self.rc = int(rc)
        self.detail = detail
        super().__init__(f"{rc_name(self.rc)}: {detail or rc_text(self.rc)}")


def rc_name(int rc, int group=BK_SMP_GROUP_BK):
    """Return the name of an error of a group; "UNKNOWN" when it has no such number."""
    return bk_rc_name(group, rc).decode("ascii")


def rc_text(int rc, int group=BK_SMP_GROUP_BK):
    """Return an error as one sentence without a full stop."""
    return bk_rc_text(group, rc).decode("ascii")


def crc32c(const uint8_t[::1] data not None, uint32_t seed=0):
    """CRC-32C (Castagnoli) of `data`, continuing from `seed`."""
    return bk_crc32c(seed, &data[0] if data.shape[0] else NULL, <size_t>data.shape[0])


def crc32(const uint8_t[::1] data not None, uint32_t seed=0):
    """CRC-32 (IEEE) of `data`, continuing from `seed`."""
    return bk_crc32_ieee(seed, &data[0] if data.shape[0] else NULL, <size_t>data.shape[0])


# ---- framing --------------------------------------------------------------------------------


cdef int _append(void *to, const uint8_t *p, size_t n) noexcept:
    cdef uint8_t **at = <uint8_t **>to
    memcpy(at[0], p, n)
    at[0] += n
    return 0


def frame_encode(bytes packet not None, line_length=127):
    """Return `packet` as serial lines of at most `line_length` bytes and a newline each."""
    cdef size_t size = 0
    if BK_FRAME_LINE_MIN <= line_length < 1 << 31:
        size = bk_frame_size(<size_t>len(packet), <uint32_t>line_length)
    if size == 0:
        raise FrameError(
            f"cannot frame {len(packet)} bytes in lines of {line_length}; expected 1 to "
            f"{BK_FRAME_PACKET_MAX} bytes in lines of at least {BK_FRAME_LINE_MIN}"
        )
    out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    cdef uint8_t *at = <uint8_t *><char *>out
    bk_frame_write(<const uint8_t *><char *>packet, <size_t>len(packet), <uint32_t>line_length,
                   _append, &at)
    return out


cdef class FrameReader:
    """Finds packets and a human's lines of text in the bytes of one serial line."""

    cdef bk_frame_reader _r
    cdef bytearray _packet, _line

    def __init__(self, max_packet=4096):
        if not 1 <= max_packet <= BK_FRAME_PACKET_MAX:
            raise FrameError(
                f"packets of at most {max_packet} bytes; expected 1 to {BK_FRAME_PACKET_MAX}"
            )
        self._packet = bytearray(max_packet + BK_FRAME_OVERHEAD)
        self._line = bytearray(LINE_MAX)
        bk_frame_reader_init(&self._r, <uint8_t *><char *>self._packet, <size_t>len(self._packet),
                             <uint8_t *><char *>self._line, <size_t>len(self._line))

    @property
    def errors(self):
        """Frames and over-long lines dropped so far."""
        return self._r.errors

    def feed(self, const uint8_t[::1] data not None):
        """Take any number of bytes; return the packets and non-empty lines they completed."""
        found = []
        cdef size_t at = 0
        cdef size_t n = <size_t>data.shape[0]
        cdef bk_frame_event event
        while at < n:
            at += bk_frame_feed_bytes(&self._r, &data[at], n - at, &event)
            if event == BK_FRAME_PACKET:
                found.append(("packet", (<char *>self._r.packet)[:self._r.packet_n]))
            elif event == BK_FRAME_LINE:
                found.append(("line", (<char *>self._r.line)[:self._r.line_n]))
        return found

    def reset(self):
        """Forget a half-read frame or line."""
        bk_frame_reader_reset(&self._r)


# ---- the server -----------------------------------------------------------------------------


cdef class SmpServer:
    """The core's SMP server in front of a Device. One thread at a time."""

    cdef bk_smp _s
    cdef bk_smp_hooks _hooks
    cdef object _device
    cdef bytes _about, _detail
    cdef bytearray _answer
    cdef object _entries  # the device's list, asked once a request
    cdef object _raised   # what no answer may swallow: KeyboardInterrupt and its like

    def __init__(self, device not None, buf_size=1024, buf_count=4):
        if not 128 <= buf_size <= 65535:
            raise ValueError(f"buf_size {buf_size}; expected 128 to 65535")
        from bankai_edge import __version__

        self._device = device
        self._about = f"bankai-edge {__version__}".encode()
        self._detail = None
        self._answer = bytearray(buf_size)
        _fill(&self._hooks)
        if hasattr(device, "bench"):
            self._hooks.bench = _bench
        bk_smp_init(&self._s, &self._hooks, <void *>self, self._about, buf_size, buf_count)

    def handle(self, const uint8_t[::1] packet not None):
        """Answer one packet; b"" where SMP stays silent."""
        cdef size_t n = <size_t>packet.shape[0]
        cdef uint8_t *answer = <uint8_t *><char *>self._answer
        self._entries = self._raised = None
        cdef int length = bk_smp_handle(&self._s, &packet[0] if n else NULL, n, answer,
                                        <size_t>len(self._answer))
        self._entries = None
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        return (<char *>answer)[:length] if length > 0 else b""

    def drop_upload(self):
        """Drop an open upload, as when its line went away."""
        bk_smp_drop_upload(&self._s)

    cdef int _failed(self, error):
        """The rc that stands for what a Device's method raised."""
        self._detail = None
        if isinstance(error, DeviceError):
            self._detail = error.detail.encode("utf-8", "replace") if error.detail else None
            return error.rc if 0 < error.rc < BK_RC_COUNT else BK_RC_INTERNAL
        if not isinstance(error, Exception):
            self._raised = error
            return BK_RC_INTERNAL
        import logging

        logging.getLogger(__name__).error("device failed", exc_info=error)
        self._detail = f"{type(error).__name__}: {error}".encode("utf-8", "replace")
        return BK_RC_INTERNAL


cdef str _name(const char *name):
    return name.decode("ascii")


cdef list _names(const bk_smp_name *names, size_t n):
    return [_name(names[i]) for i in range(n)]


cdef object _put(bk_smp_fields *out, fields):
    """Write a device's mapping; raises TypeError for a value that the wire has no form for."""
    for name, value in fields.items():
        key = name.encode()
        if isinstance(value, bool):
            bk_smp_put_bool(out, key, value)
        elif isinstance(value, int) and value >= 0:
            bk_smp_put_uint(out, key, value)
        elif isinstance(value, int):
            bk_smp_put_int(out, key, value)
        elif isinstance(value, str):
            text = value.encode("utf-8", "replace")
            bk_smp_put_text(out, key, text, <size_t>len(text))
        elif isinstance(value, (bytes, bytearray)):
            raw = bytes(value)
            bk_smp_put_bytes(out, key, <const uint8_t *><char *>raw, <size_t>len(raw))
        elif isinstance(value, (list, tuple)):
            bk_smp_begin_texts(out, key)
            for item in value:
                text = item.encode("utf-8", "replace")
                bk_smp_add_text(out, text, <size_t>len(text))
            bk_smp_end_texts(out)
        else:
            raise TypeError(f"{name}: cannot send a {type(value).__name__}")


cdef int _upload_begin(void *p, const char *name, uint32_t total) noexcept:
    s = <SmpServer>p
    try:
        s._device.upload_begin(_name(name), total)
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _upload_write(void *p, const char *name, uint32_t off, const uint8_t *data,
                       size_t n) noexcept:
    s = <SmpServer>p
    try:
        s._device.upload_write(_name(name), off, (<const char *>data)[:n])
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _upload_finish(void *p, const char *name) noexcept:
    s = <SmpServer>p
    try:
        s._device.upload_finish(_name(name))
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef void _upload_abort(void *p, const char *name) noexcept:
    s = <SmpServer>p
    detail = s._detail  # the sentence is about what led here
    try:
        s._device.upload_abort(_name(name))
    except BaseException as error:
        s._failed(error)
        s._detail = detail


cdef int _file_size(void *p, const char *name, uint32_t *size) noexcept:
    s = <SmpServer>p
    try:
        size[0] = s._device.file_size(_name(name))
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _file_read(void *p, const char *name, uint32_t off, uint8_t *out, size_t n) noexcept:
    s = <SmpServer>p
    try:
        data = bytes(s._device.file_read(_name(name), off, n))
        if <size_t>len(data) != n:
            raise DeviceError(BK_RC_IO, f"read {len(data)} of {n} bytes at {off}")
        memcpy(out, <char *>data, n)
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _list(void *p, uint32_t index, bk_smp_entry *entry) noexcept:
    s = <SmpServer>p
    try:
        if s._entries is None:
            s._entries = s._device.list()
        if index >= <uint32_t>len(s._entries):
            return BK_RC_NO_SUCH_PATCH
        name, size, active = s._entries[index]
        raw = name.encode("ascii")
        if len(raw) >= sizeof(bk_smp_name):
            raise ValueError(f"name {name!r} is too long")
        memcpy(entry.name, <char *>raw, <size_t>len(raw) + 1)
        entry.size = size
        entry.active = active
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _activate(void *p, const bk_smp_name *names, size_t n, uint64_t *ns) noexcept:
    s = <SmpServer>p
    try:
        ns[0] = s._device.activate(_names(names, n))
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _deactivate(void *p, const bk_smp_name *names, size_t n, uint64_t *ns) noexcept:
    s = <SmpServer>p
    try:
        ns[0] = s._device.deactivate(_names(names, n))
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _remove(void *p, const char *name) noexcept:
    s = <SmpServer>p
    try:
        s._device.remove(_name(name))
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _rollback(void *p, uint64_t *ns) noexcept:
    s = <SmpServer>p
    try:
        ns[0] = s._device.rollback()
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _verify(void *p, bk_smp_fields *out) noexcept:
    s = <SmpServer>p
    try:
        _put(out, s._device.verify())
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _info(void *p, bk_smp_fields *out) noexcept:
    s = <SmpServer>p
    try:
        _put(out, s._device.info())
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _bench(void *p, bk_smp_fields *out) noexcept:
    s = <SmpServer>p
    try:
        _put(out, s._device.bench())
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _generate(void *p, const char *prompt, size_t n, uint32_t max_tokens) noexcept:
    s = <SmpServer>p
    try:
        try:
            text = prompt[:n].decode("utf-8")
        except UnicodeDecodeError as error:
            raise DeviceError(BK_RC_BAD_ARGUMENT, "the prompt is not UTF-8") from error
        s._device.generate(text, max_tokens)
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _output(void *p, uint32_t off, uint8_t *out, size_t cap, bk_smp_output *o) noexcept:
    s = <SmpServer>p
    try:
        data, done, tokens, us = s._device.output(off)
        data = bytes(data)
        o.n = min(cap, <size_t>len(data))
        memcpy(out, <char *>data, o.n)
        o.done = done and o.n == <size_t>len(data)
        o.tokens = tokens
        o.us = us
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef int _reset(void *p) noexcept:
    s = <SmpServer>p
    try:
        s._device.reset()
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef const char *_detail(void *p) noexcept:
    detail = (<SmpServer>p)._detail
    return NULL if detail is None else <const char *><char *>detail


cdef int _datetime(void *p, char *text, size_t cap) noexcept:
    s = <SmpServer>p
    try:
        if hasattr(s._device, "datetime"):
            raw = s._device.datetime().encode("ascii")
        else:
            raw = strftime("%Y-%m-%dT%H:%M:%S").encode("ascii")
        if <size_t>len(raw) >= cap:
            raise ValueError("a date and time that long is none")
        memcpy(text, <char *>raw, <size_t>len(raw) + 1)
        return BK_RC_OK
    except BaseException as error:
        return s._failed(error)


cdef uint32_t _clock_ms(void *p) noexcept:
    return <uint32_t>(<uint64_t>(monotonic() * 1000.0))


cdef void _fill(bk_smp_hooks *h):
    h.upload_begin = _upload_begin
    h.upload_write = _upload_write
    h.upload_finish = _upload_finish
    h.upload_abort = _upload_abort
    h.file_size = _file_size
    h.file_read = _file_read
    h.list = _list
    h.activate = _activate
    h.deactivate = _deactivate
    h.remove = _remove
    h.rollback = _rollback
    h.verify = _verify
    h.generate = _generate
    h.output = _output
    h.info = _info
    h.bench = NULL
    h.reset = _reset
    h.detail = _detail
    h.datetime = _datetime
    h.clock_ms = _clock_ms
