# cython: language_level=3
"""Serial framing and the names of errors; imports neither NumPy nor the engine."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

cdef extern from "bk_crc.h":
    uint32_t bk_crc32c(uint32_t crc, const uint8_t *p, size_t n) nogil

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
    enum: BK_RC_COUNT, BK_SMP_GROUP_BK
    const char *bk_rc_name(int group, int rc)
    const char *bk_rc_text(int group, int rc)

BK_GROUP = BK_SMP_GROUP_BK
RC = {bk_rc_name(BK_SMP_GROUP_BK, i).decode("ascii"): i for i in range(BK_RC_COUNT)}

cdef enum:
    LINE_MAX = 1024  # bytes of one line that a human types


class FrameError(Exception):
    """A packet or a line length that the serial framing cannot carry."""


def rc_name(int rc, int group=BK_SMP_GROUP_BK):
    """Return the name of an error of a group; "UNKNOWN" when it has no such number."""
    return bk_rc_name(group, rc).decode("ascii")


def rc_text(int rc, int group=BK_SMP_GROUP_BK):
    """Return an error as one sentence without a full stop."""
    return bk_rc_text(group, rc).decode("ascii")


def crc32c(const uint8_t[::1] data not None, uint32_t seed=0):
    """CRC-32C (Castagnoli) of `data`, continuing from `seed`."""
    return bk_crc32c(seed, &data[0] if data.shape[0] else NULL, <size_t>data.shape[0])


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
