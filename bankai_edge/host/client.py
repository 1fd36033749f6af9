"""The SMP client: a device's commands as methods. docs/protocol.md is what it speaks."""

from __future__ import annotations

import codecs
import hashlib
import itertools
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cbor2

from bankai_edge._link import BK_GROUP, rc_name, rc_text
from bankai_edge.errors import (
    BankaiError,
    DeviceTimeoutError,
    IncompatibleError,
    NoDeviceError,
    SignatureError,
)
from bankai_edge.host.transports import Transport

HEADER = struct.Struct(">BBHHBB")  # op and version, flags, length, group, sequence, command
READ, WRITE = 0, 2
SMP_V2 = 1 << 3
OS, FS = 0, 8
DEFAULT_TIMEOUT_S = 2.0
SLOW_TIMEOUT_S = 30.0
TRIES = 3
POLL_S = 0.01
BUSY_S = 10.0  # how long another host's upload is waited for; a dead one's place is free after 5
BUSY_POLL_S = 0.25
RESEND_MAX_S = 0.5
MIN_CHUNK_BYTES = 16
SMALLER = 4  # a chunk that gets no answer is cut to this part of it
SMALLER_TRIES = 3  # tries that making chunks smaller may cost beyond the others
CALM = 4  # chunks that have to pass before they may grow again
_INCOMPATIBLE = {
    "WRONG_MODEL",
    "UNBOUND",
    "BAD_CRC",
    "MALFORMED",
    "VERSION",
    "RANGE",
    "LIMIT",
    "CANARY",
}
_NEXT_STEP = {
    "NO_SUCH_PATCH": "See what is there with bankai-edge list.",
    "UNBOUND": "Bind it first (bankai-edge patch bind -m MODEL FILE), or run agent --unbound.",
    "WRONG_MODEL": "Push a patch that was made for the model on the device.",
    "BAD_CRC": "Make or bind the patch against the very model file that the device runs.",
    "NO_SPACE": "Remove a patch with bankai-edge rm NAME, then try again.",
    "BUSY": "Try again in a moment.",
    "ACTIVE": "Switch it off first with bankai-edge off.",
    "CONTEXT": "Shorten the prompt, or start the agent with a larger --ctx.",
    "SIGNATURE": "Sign it (bankai-edge patch sign) with a key that the device trusts.",
    "CANARY": "The set from before is active.",
    "DOWNGRADE": "Push a newer version (bankai-edge patch sign --sequence N numbers it).",
}


class RefusedError(BankaiError):
    """The device answered with an error of group 0x424B or of SMP; `name` is the rc's."""

    def __init__(self, name: str, found: str, *, next_step: str = "") -> None:
        self.name = name
        super().__init__(found, next_step=next_step)


class StoredPatch(NamedTuple):
    """One entry of a device's store."""

    name: str
    size_bytes: int
    active: bool


class PushReport(NamedTuple):
    """What a push did. `uploaded_bytes` is 0 when the device had the very file already."""

    name: str
    size_bytes: int
    sha256: str
    uploaded_bytes: int
    round_trips: int


class _Answer(dict[str, Any]):
    """A device's answer, in which a key that has to be there may not be."""

    def __missing__(self, key: str) -> Any:
        raise BankaiError(
            f"the device answered without {key!r}",
            expected="an answer as docs/protocol.md describes it",
            next_step="Is its firmware as new as this program?",
        )


class Generation:
    """An answer on its way: iterate for its text; `tokens` and `elapsed_us` grow with it."""

    def __init__(self, read: Callable[[int], Mapping[str, Any]]) -> None:
        self.tokens = 0
        self.elapsed_us = 0
        self._read = read

    def __iter__(self) -> Iterator[str]:
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        off = 0
        done = False
        while not done:
            answer = self._read(off)
            data, done = answer["data"], answer["done"]
            off += len(data)
            self.tokens, self.elapsed_us = answer["tokens"], answer["us"]
            text = decode(data, final=done)
            if text:
                yield text
            elif not done:
                time.sleep(POLL_S)


class Client:
    """Commands to one device over one transport. A context manager: closes the transport.

    `timeout_s` bounds the wait for one answer; an unanswered request is repeated, `tries` times in
    all, when repeating it changes nothing. Unless `tries` is 1, a device that restarts or
    re-enumerates meanwhile is waited for. Raises DeviceTimeoutError (silent), NoDeviceError (line
    gone), IncompatibleError or RefusedError (the device said no).
    """

    def __init__(
        self, transport: Transport, *, timeout_s: float = DEFAULT_TIMEOUT_S, tries: int = TRIES
    ) -> None:
        self.transport = transport
        self.round_trips = 0
        self._timeout_s = timeout_s
        self._tries = tries
        # Not from 0: an answer to a killed predecessor's request must not pass for ours.
        self._sequence = itertools.count(os.urandom(1)[0])
        self._buf_size: int | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()

    # -- commands ------------------------------------------------------------------------------

    def echo(self, text: str) -> str:
        """Have a text sent back."""
        return str(self._request(WRITE, OS, 0, {"d": text})["r"])

    def reset(self) -> None:
        """Restart the device."""
        self._request(WRITE, OS, 5, {}, again=False)

    def info(self) -> dict[str, Any]:
        """What the device is and runs; keys in docs/protocol.md."""
        return self._request(READ, BK_GROUP, 0, {})

    def list(self) -> list[StoredPatch]:
        """Every stored patch."""
        patches: list[StoredPatch] = []
        start: int | None = 0
        while start is not None:
            answer = self._request(READ, BK_GROUP, 1, {"from": start} if start else {})
            for entry in answer["patches"]:
                patches.append(StoredPatch(entry["name"], entry["size"], entry["active"]))
            start = answer.get("next")
        return patches

    def activate(self, names: Sequence[str]) -> int:
        """Make exactly this set active, all or none; returns the switch time in ns."""
        return int(self._slow(2, {"names": list(names)})["ns"])

    def deactivate(self, names: Sequence[str] = ()) -> int:
        """Take these, or all, out of the active set; returns the switch time in ns."""
        return int(self._slow(3, {"names": list(names)})["ns"])

    def remove(self, name: str) -> None:
        """Delete a stored patch."""
        self._slow(4, {"name": name})

    def rollback(self) -> int:
        """Return to the previous active set; returns the switch time in ns."""
        return int(self._slow(5, {}, again=False)["ns"])

    def verify(self) -> dict[str, Any]:
        """Have the device check its weights and patches; "ok" and what else it reports."""
        return self._slow(6, {})

    def bench(self) -> dict[str, Any]:
        """Have the device time its tokens; "token_us" and what else it reports."""
        return self._slow(9, {})

    def generate(self, prompt: str, max_tokens: int = 64) -> Generation:
        """Ask the model; the device starts at once. Iterate for the answer's text as it comes."""
        body = {"prompt": prompt, "max_tokens": max_tokens}
        self._request(WRITE, BK_GROUP, 7, body, again=False)
        return Generation(lambda off: self._request(READ, BK_GROUP, 8, {"off": off}))

    def sha256(self, name: str) -> bytes | None:
        """The SHA-256 of a stored patch's bytes, or None when there is none of that name."""
        try:
            answer = self._request(
                READ, FS, 2, {"name": _path(name), "type": "sha256", "detail": True}
            )
        except RefusedError as error:
            if error.name == "NO_SUCH_PATCH":
                return None
            raise
        return bytes(answer["output"])

    def has(self, name: str, data: bytes) -> bool:
        """Whether these very bytes are stored as `name`."""
        return self.sha256(name) == hashlib.sha256(data).digest()

    def push(
        self, name: str, data: bytes, *, progress: Callable[[int], None] = lambda _: None
    ) -> PushReport:
        """Store a patch file as `name`, unless the device has these bytes already.

        `progress` is told the bytes that the device has so far. Raises IncompatibleError when the
        device finds the patch unfit; its store is then as it was.
        """
        trips = self.round_trips
        digest = hashlib.sha256(data).digest()
        uploaded = 0
        if self.sha256(name) != digest:
            self._upload(name, data, digest, progress)
            uploaded = len(data)
            if self.sha256(name) != digest:
                raise BankaiError(
                    f"{self.transport.label} stored other bytes than were sent as {name}",
                    next_step="Push it again.",
                )
        progress(len(data))
        return PushReport(name, len(data), digest.hex(), uploaded, self.round_trips - trips)

    # -- inside --------------------------------------------------------------------------------

    def _upload(
        self, name: str, data: bytes, digest: bytes, progress: Callable[[int], None]
    ) -> None:
        """Send chunk after chunk from where the device says, smaller ones while they get lost."""
        off = stuck = silent = calm = 0
        limit = len(data)
        busy_until = time.monotonic() + BUSY_S
        while off < len(data):
            body: dict[str, Any] = {"name": _path(name), "off": off, "detail": True}
            if off == 0:
                body |= {"len": len(data), "sha": digest}
            room = min(self._room(body), limit)
            body["data"] = data[off : off + room]
            try:
                answer = self._request(WRITE, FS, 0, body, tries=1)
            except DeviceTimeoutError:
                # The last chunk's answer comes after the checks against the model.
                last = off + len(body["data"]) == len(data)
                silent += 1
                if silent >= self._tries + (self._slow_tries() if last else SMALLER_TRIES):
                    raise
                limit, calm = max(room // SMALLER, MIN_CHUNK_BYTES), 0
                continue
            except RefusedError as error:
                if error.name != "BUSY" or time.monotonic() > busy_until:
                    raise
                time.sleep(BUSY_POLL_S)
                continue
            silent = 0
            if answer["off"] > off:
                stuck, calm = 0, calm + 1
                limit *= 2 if calm % CALM == 0 else 1
            else:
                stuck += 1
            off = int(answer["off"])
            progress(off)
            if stuck > self._tries:
                raise BankaiError(
                    f"{self.transport.label} stopped taking {name} at byte {off} of {len(data)}",
                    next_step="Push it again.",
                )

    def _room(self, body: Mapping[str, Any]) -> int:
        """Bytes of file data that fit into one packet beside `body`."""
        if self._buf_size is None:
            asked = int(self._request(READ, OS, 6, {})["buf_size"])
            self._buf_size = min(asked, self.transport.packet_bytes)
        # "data" with its head takes 5 bytes, the byte string's head at most 3.
        overhead = HEADER.size + len(cbor2.dumps(dict(body))) + 5 + 3
        if overhead >= self._buf_size:
            raise BankaiError(
                f"{self.transport.label} takes packets of {self._buf_size} bytes",
                expected=f"more than {overhead}",
            )
        return self._buf_size - overhead

    def _slow_s(self) -> float:
        return max(self._timeout_s, SLOW_TIMEOUT_S)

    def _slow_tries(self) -> int:
        return int(self._slow_s() / self._timeout_s)

    def _slow(self, command: int, body: Mapping[str, Any], again: bool = True) -> _Answer:
        """A command of our group that may wait for a token or read every weight."""
        timeout_s = self._slow_s() if command in (6, 9) else self._timeout_s
        return self._request(WRITE, BK_GROUP, command, body, again=again, timeout_s=timeout_s)

    def _request(
        self,
        op: int,
        group: int,
        command: int,
        body: Mapping[str, Any],
        *,
        again: bool = True,
        timeout_s: float | None = None,
        tries: int | None = None,
    ) -> _Answer:
        payload = cbor2.dumps(dict(body))
        sequence = next(self._sequence) & 0xFF
        packet = HEADER.pack(op | SMP_V2, 0, len(payload), group, sequence, command) + payload
        expected = (op + 1, group, sequence, command)
        again = again or (self.transport.repeats_safely and group == BK_GROUP)
        wait_s = timeout_s or self._timeout_s
        tries = (tries or self._tries) if again else 1
        self.round_trips += 1
        for pause_s in _pauses(wait_s, tries, self.transport.resend_s if again else None):
            try:
                self.transport.send(packet)
                answer = self._await(expected, pause_s)
            except NoDeviceError:
                if not again or self._tries == 1 or not self.transport.reopen():
                    raise
                answer = None
            if answer is not None:
                return self._checked(answer, group)
        raise DeviceTimeoutError(
            f"{self.transport.label} is open but silent: no answer in {tries} × {wait_s:g} s",
            next_step="Is a bankai-edge agent or firmware running there, at this baud rate?",
        )

    def _await(
        self, expected: tuple[int, int, int, int], timeout_s: float
    ) -> dict[str, Any] | None:
        deadline = time.monotonic() + timeout_s
        while True:
            packet = self.transport.receive(max(0.0, deadline - time.monotonic()))
            if packet is None:
                return None
            answer = _parse(packet, expected)
            if answer is not None:
                return answer

    def _checked(self, answer: dict[str, Any], group: int) -> _Answer:
        error = answer.get("err")
        if isinstance(error, Mapping):
            # With "detail": true a file request is answered in our group's numbers.
            raise _refusal(
                self.transport.label,
                int(error.get("group", group)),
                int(error.get("rc", -1)),
                str(answer.get("detail") or error.get("detail") or ""),
            )
        if answer.get("rc"):
            raise _refusal(self.transport.label, -1, int(answer["rc"]), "")
        return _Answer(answer)


def _pauses(wait_s: float, tries: int, resend_s: float | None) -> Iterator[float]:
    """How long to wait after each sending of one request: `tries` × `wait_s` in all."""
    if resend_s is None or resend_s >= wait_s:
        yield from [wait_s] * tries
        return
    left_s = wait_s * tries
    while left_s > 0:
        yield min(resend_s, left_s)
        left_s -= resend_s
        resend_s = min(2 * resend_s, RESEND_MAX_S)


def _path(name: str) -> str:
    return f"/bkp/{name}.bkp"


def _parse(packet: bytes, expected: tuple[int, int, int, int]) -> dict[str, Any] | None:
    """The body of the answer that is waited for; None for anything else."""
    if len(packet) < HEADER.size:
        return None
    op, _, length, group, sequence, command = HEADER.unpack_from(packet)
    if (op & 7, group, sequence, command) != expected or len(packet) != HEADER.size + length:
        return None
    try:
        body = cbor2.loads(packet[HEADER.size :])
    except (cbor2.CBORDecodeError, ValueError):
        return None
    return body if isinstance(body, dict) else None


def _refusal(label: str, group: int, rc: int, detail: str) -> BankaiError:
    name = rc_name(rc, group)
    found = f"{label}: {rc_text(rc, group)}"
    if detail:
        found += f" ({detail})"
    next_step = _NEXT_STEP.get(name, "")
    if name in _INCOMPATIBLE:
        return IncompatibleError(found, next_step=next_step)
    if name in ("SIGNATURE", "DOWNGRADE"):
        return SignatureError(found, next_step=next_step)
    if name == "TIMEOUT":
        return DeviceTimeoutError(found, next_step=next_step)
    return RefusedError(name, found, next_step=next_step)
