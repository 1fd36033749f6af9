"""What the SMP server asks of this machine: the store and the model session as one device.

The order of every change keeps weights and journal in step: the session switches first (all or
nothing, in memory), then the store records it; when recording fails the session switches back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bankai_edge import __version__
from bankai_edge._link import RC, DeviceError
from bankai_edge.agent.store import Store, StoreError, Upload
from bankai_edge.errors import BankaiError, CoreError, IncompatibleError
from bankai_edge.patch import bkp

if TYPE_CHECKING:
    from bankai_edge.model import Model, Session

MAX_PATCH_BYTES = 1 << 20
MAX_NEW_TOKENS = 4096
_STORE_RC = {
    "name": "BAD_NAME",
    "absent": "NO_SUCH_PATCH",
    "active": "ACTIVE",
    "full": "NO_SPACE",
    "io": "IO",
}
# bk_error.h's codes for patches
_CORE_RC: dict[int | None, str] = {
    -3: "VERSION",
    -9: "LIMIT",
    -40: "WRONG_MODEL",
    -41: "UNBOUND",
    -42: "RANGE",
    -43: "BAD_CRC",
    -44: "SIGNATURE",
}


class _Turns:
    """A lock that is given in the order of asking.

    With a plain lock the token loop, which asks again at once, would starve the commands.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._serving = 0

    def take(self) -> None:
        """Wait for a turn and keep it."""
        with self._changed:
            ticket = self._next
            self._next += 1
            self._changed.wait_for(lambda: self._serving == ticket)

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._serving += 1
            self._changed.notify_all()


class _Answer:
    """The text of the last prompt's answer as it grows. Its own lock: reading never waits."""

    def __init__(self, done: bool = False) -> None:
        self._lock = threading.Lock()
        self._text = bytearray()
        self._start_ns = time.monotonic_ns()
        self._elapsed_us = 0
        self._tokens = 0
        self._done = done
        self._error: DeviceError | None = None

    @property
    def done(self) -> bool:
        return self._done

    def add(self, piece: str) -> None:
        with self._lock:
            self._text += piece.encode()
            self._tokens += 1
            self._elapsed_us = (time.monotonic_ns() - self._start_ns) // 1000

    def finish(self, error: DeviceError | None = None) -> None:
        with self._lock:
            self._error = error
            self._done = True

    def read(self, off: int) -> tuple[bytes, bool, int, int]:
        with self._lock:
            if self._error is not None and off >= len(self._text):
                raise self._error
            done = self._done and self._error is None
            return bytes(self._text[off:]), done, self._tokens, self._elapsed_us


class AgentDevice:
    """A model, its session and its store, as `bankai_edge._link.Device`.

    Safe to call from several threads. `log` takes one sentence for the operator.
    """

    def __init__(
        self,
        model: Model,
        session: Session,
        store: Store,
        *,
        mode: str,
        ctx: int,
        allow_unbound: bool = False,
        log: Callable[[str], None],
        on_reset: Callable[[], None],
    ) -> None:
        self._model = model
        self._session = session
        self._store = store
        self._mode = mode
        self._ctx = ctx
        self._allow_unbound = allow_unbound
        self._log = log
        self._on_reset = on_reset
        self._turns = _Turns()
        self._answer = _Answer(done=True)
        self._upload: Upload | None = None
        self._start_ns = time.monotonic_ns()
        self._active: tuple[str, ...] = ()
        self._restore()

    # -- files ---------------------------------------------------------------------------------

    def upload_begin(self, name: str, total: int) -> None:
        """Open a temporary for `total` bytes, dropping one that is open."""
        self.upload_abort(name)
        if total > MAX_PATCH_BYTES:
            raise DeviceError(RC["TOO_LARGE"], f"{total} bytes; at most {MAX_PATCH_BYTES}")
        with _store_errors():
            self._upload = self._store.begin()

    def upload_write(self, name: str, off: int, data: bytes) -> None:
        """Append a chunk; the server has checked the offset."""
        with _store_errors():
            self._open_upload().write(data)

    def upload_finish(self, name: str) -> None:
        """Check the whole file against its name and the model, then put it into the store.

        A patch that is active is switched to its new bytes in the same step.
        """
        upload = self._open_upload()
        try:
            with _store_errors(), self._turns:
                finished = upload.close()
                data = finished.read_bytes()
                self._check(name, data)
                if name in self._active:
                    self._switch(
                        self._active, lambda: self._store.commit(name, finished), {name: data}
                    )
                else:
                    self._store.commit(name, finished)
        finally:
            self.upload_abort(name)

    def upload_abort(self, name: str) -> None:
        """Drop the temporary, if one is open."""
        if self._upload is not None:
            self._upload.abandon()
            self._upload = None

    def file_size(self, name: str) -> int:
        """Size in bytes of a stored patch."""
        with _store_errors():
            return len(self._store.read(name))

    def file_read(self, name: str, off: int, n: int) -> bytes:
        """Up to `n` bytes of a stored patch from `off`."""
        with _store_errors():
            return self._store.read(name)[off : off + n]

    # -- patches -------------------------------------------------------------------------------

    def list(self) -> Sequence[tuple[str, int, bool]]:
        """(name, size in bytes, active), sorted by name."""
        with _store_errors():
            return [
                (name, len(self._store.read(name)), name in self._active)
                for name in self._store.names()
            ]

    def activate(self, names: Sequence[str]) -> int:
        """Make exactly this set active; returns the switch time in ns, 0 when it already is."""
        wanted = tuple(dict.fromkeys(names))
        with _store_errors(), self._turns:
            if wanted == self._active:
                return 0
            return self._switch(wanted, lambda: self._store.record(wanted))

    def deactivate(self, names: Sequence[str]) -> int:
        """Take these out of the active set; () is all of it."""
        with _store_errors(), self._turns:
            for name in names:
                if name not in self._active:
                    raise DeviceError(RC["NO_SUCH_PATCH"], f"{name} is not active")
            left = tuple(name for name in self._active if names and name not in names)
            if left == self._active:
                return 0
            return self._switch(left, lambda: self._store.record(left))

    def rollback(self) -> int:
        """Return to the set that was active before the last change."""
        with _store_errors(), self._turns:
            wanted = self._store.journal.previous
            if wanted == self._active:
                raise DeviceError(RC["NO_PREVIOUS"])
            return self._switch(wanted, lambda: self._store.record(wanted))

    def remove(self, name: str) -> None:
        """Delete a stored patch that is not active."""
        with _store_errors(), self._turns:
            self._store.remove(name)

    def verify(self) -> Mapping[str, bool | int | str | bytes | Sequence[str]]:
        """Compare the weights with those loaded, and check every stored patch."""
        with self._turns:
            intact = self._session.weights_intact()
            bad = [name for name in self._store.names() if not self._fits(name)]
            return {
                "ok": intact and not bad,
                "weights_intact": intact,
                "weights_sha256": bytes.fromhex(self._model.weights_digest()),
                "patches": len(self._store.names()),
                "bad_patches": bad,
            }

    # -- prompts -------------------------------------------------------------------------------

    def generate(self, prompt: str, max_tokens: int) -> None:
        """Start answering a prompt; its text is then read with `output`."""
        if not prompt.strip():
            raise DeviceError(RC["BAD_ARGUMENT"], "the prompt is empty")
        if not self._answer.done:
            raise DeviceError(RC["BUSY"], "another prompt is being answered")
        try:
            pieces = self._session.generate(prompt, max_tokens=min(max_tokens, MAX_NEW_TOKENS))
        except BankaiError as error:
            raise DeviceError(RC["CONTEXT"], error.found) from error
        self._answer = _Answer()
        threading.Thread(
            target=self._generate, args=(self._answer, pieces), name="generate", daemon=True
        ).start()

    def output(self, off: int) -> tuple[bytes, bool, int, int]:
        """(UTF-8 bytes from `off`, done, tokens so far, elapsed us) of the last prompt."""
        return self._answer.read(off)

    # -- the device ----------------------------------------------------------------------------

    def info(self) -> Mapping[str, bool | int | str | bytes | Sequence[str]]:
        """What this device is and runs."""
        return {
            "board": "linux",
            "version": __version__,
            "model": self._model.name,
            "model_id": self._model.id,
            "active": list(self._active),
            "mode": self._mode.replace("-", "_"),
            "patches": len(self._store.names()),
            "ctx": self._ctx,
            "uptime_ms": (time.monotonic_ns() - self._start_ns) // 1_000_000,
        }

    def reset(self) -> None:
        """Restart the agent soon after the answer is out."""
        self._on_reset()

    def close(self) -> None:
        """Let a running change finish, then allow none any more."""
        self._turns.take()
        self._store.close()

    # -- inside --------------------------------------------------------------------------------

    def _open_upload(self) -> Upload:
        if self._upload is None:
            raise DeviceError(RC["BAD_OFFSET"], "no upload is open")
        return self._upload

    def _check(self, name: str, data: bytes) -> None:
        """Raise when this file may not be stored as `name`: damaged, misnamed, misfit."""
        patch = bkp.decode(data)
        if patch.name != name:
            raise DeviceError(
                RC["BAD_NAME"], f"the patch inside is named {patch.name!r}, the file {name!r}"
            )
        if patch.model_id is not None and patch.model_id != self._model.id:
            raise DeviceError(
                RC["WRONG_MODEL"],
                f"made for {patch.model_id.hex()[:16]}, this device runs "
                f"{self._model.id.hex()[:16]} ({self._model.name})",
            )
        self._session.check(data, allow_unbound=self._allow_unbound)

    def _fits(self, name: str) -> bool:
        try:
            self._check(name, self._store.read(name))
        except (BankaiError, DeviceError):
            return False
        return True

    def _switch(
        self,
        names: tuple[str, ...],
        record: Callable[[], None],
        fresh: Mapping[str, bytes] | None = None,
    ) -> int:
        """Switch the session to `names`, then record it; on failure both are as before.

        `fresh` holds bytes that are not in the store yet. Returns the switch time in ns.
        """
        old = [self._store.read(name) for name in self._active]
        new = [(fresh or {}).get(name) or self._store.read(name) for name in names]
        took_ns = self._session.use(new, allow_unbound=self._allow_unbound)
        try:
            record()
        except StoreError:
            self._session.use(old, allow_unbound=self._allow_unbound)
            raise
        self._active = names
        return took_ns

    def _restore(self) -> None:
        """At start: the recorded set, without what no longer fits; never an obstacle."""
        recorded = self._store.journal.active
        wanted = []
        for name in recorded:
            try:
                data = self._store.read(name)
                self._check(name, data)
                wanted.append((name, data))
            except (BankaiError, DeviceError) as error:
                self._log(f"{name} stays inactive: {error_text(error)}")
        try:
            self._session.use([data for _, data in wanted], allow_unbound=self._allow_unbound)
            self._active = tuple(name for name, _ in wanted)
        except BankaiError as error:
            self._log(f"no patch is active: {error}")
        if self._active != recorded:
            try:
                self._store.record(self._active, previous=recorded)
            except StoreError as error:
                self._log(str(error))

    def _generate(self, answer: _Answer, pieces: Iterator[str]) -> None:
        try:
            while True:
                with self._turns:
                    piece = next(pieces, None)
                if piece is None:
                    break
                answer.add(piece)
        except BankaiError as error:
            answer.finish(_as_device_error(error))
        except Exception as error:
            self._log(f"generating failed: {error!r}")
            answer.finish(DeviceError(RC["INTERNAL"], str(error)))
        else:
            answer.finish()


def error_text(error: BankaiError | DeviceError) -> str:
    """An error as one sentence."""
    from bankai_edge._link import rc_text

    if isinstance(error, DeviceError):
        return f"{rc_text(error.rc)}: {error.detail}" if error.detail else rc_text(error.rc)
    return str(error)


@contextmanager
def _store_errors() -> Iterator[None]:
    """Turn what store, codec and session raise into an rc of our group."""
    try:
        yield
    except BankaiError as error:
        raise _as_device_error(error) from error
    except OSError as error:
        raise DeviceError(RC["IO"], str(error)) from error


def _as_device_error(error: BankaiError) -> DeviceError:
    if isinstance(error, StoreError):
        return DeviceError(RC[_STORE_RC[error.reason]], error.found)
    if isinstance(error, IncompatibleError):
        # The sentence is for people; which rc it is, the core's own refusal beneath it knows.
        core = error.__cause__ or error.__context__
        code = core.code if isinstance(core, CoreError) else None
        return DeviceError(RC[_CORE_RC.get(code, "MALFORMED")], error.found)
    return DeviceError(RC["BAD_ARGUMENT"], str(error))
