"""What the SMP server asks of this machine: the store and the model session as one device."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bankai_edge import __version__
from bankai_edge._link import RC, DeviceError
from bankai_edge.agent.active import ActiveSet
from bankai_edge.agent.gate import Gate, parse
from bankai_edge.agent.journal import Stored
from bankai_edge.agent.limits import PROBE_BUDGET_S
from bankai_edge.agent.prompt import Answer, Turns
from bankai_edge.agent.refusals import as_device_error, device_errors
from bankai_edge.agent.store import Store, Upload
from bankai_edge.boards.device import conditions, fitting
from bankai_edge.errors import BankaiError
from bankai_edge.patch.keys import TrustStore

if TYPE_CHECKING:
    from bankai_edge.model import Model, Session

MAX_PATCH_BYTES = 1 << 20
MAX_NEW_TOKENS = 4096
BENCH_TOKENS = 32
BENCH_S = 2.0


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
        gate: Gate | None = None,
        probe_budget_s: float = PROBE_BUDGET_S,
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
        self._turns = Turns()
        self._answer = Answer(done=True)
        self._upload: Upload | None = None
        self._start_ns = time.monotonic_ns()
        self._gate = gate or Gate("open", TrustStore(store.root / "keys"), log)
        self._active = ActiveSet(
            session,
            store,
            self._gate,
            allow_unbound=allow_unbound,
            budget_s=probe_budget_s,
            log=log,
            restart=on_reset,
        )
        self._active.restore()

    # -- files ---------------------------------------------------------------------------------

    def upload_begin(self, name: str, total: int) -> None:
        """Open a temporary for `total` bytes, dropping one that is open."""
        self.upload_abort(name)
        if total > MAX_PATCH_BYTES:
            raise DeviceError(RC["TOO_LARGE"], f"{total} bytes; at most {MAX_PATCH_BYTES}")
        with device_errors():
            self._upload = self._store.begin(name, total)

    def upload_write(self, name: str, off: int, data: bytes) -> None:
        """Append a chunk; the server has checked the offset."""
        with device_errors():
            self._open_upload().write(data)

    def upload_finish(self, name: str) -> None:
        """Check the whole file against its name and the model, then put it into the store.

        A patch that is active is switched to its new bytes in the same step.
        """
        upload = self._open_upload()
        try:
            with device_errors(), self._turns:
                finished = upload.close()
                data = finished.path.read_bytes()
                payload, sequence = self._check(name, data)
                self._gate.refuse_older(name, sequence, self._store.journal.sequences.get(name))
                stored = Stored(name, finished.sha256, finished.size_bytes)
                if name in self._active.names:
                    wanted = [stored if old.name == name else old for old in self._active.stored]
                    self._active.switch(
                        wanted,
                        lambda: self._store.commit(name, finished, sequence),
                        {stored: payload},
                    )
                else:
                    self._store.commit(name, finished, sequence)
        finally:
            self.upload_abort(name)

    def upload_abort(self, name: str) -> None:
        """Drop the temporary, if one is open."""
        if self._upload is not None:
            self._upload.abandon()
            self._upload = None

    def file_size(self, name: str) -> int:
        """Size in bytes of a stored patch."""
        with device_errors():
            return self._store.stored(name).size_bytes

    def file_read(self, name: str, off: int, n: int) -> bytes:
        """Up to `n` bytes of a stored patch from `off`."""
        with device_errors():
            return self._store.read(name)[off : off + n]

    # -- patches -------------------------------------------------------------------------------

    def list(self) -> Sequence[tuple[str, int, bool]]:
        """(name, size in bytes, active), sorted by name."""
        active = self._active.names
        return [
            (name, stored.size_bytes, name in active)
            for name, stored in sorted(self._store.journal.patches.items())
        ]

    def activate(self, names: Sequence[str]) -> int:
        """Make exactly this set active; returns the switch time in ns, 0 when it already is.

        CANARY when one of the set's own probes fails: the set before is then active again.
        """
        with device_errors(), self._turns:
            return self._use([self._store.stored(name) for name in dict.fromkeys(names)])

    def deactivate(self, names: Sequence[str]) -> int:
        """Take these out of the active set; () is all of it."""
        with device_errors(), self._turns:
            for name in names:
                if name not in self._active.names:
                    raise DeviceError(RC["NO_SUCH_PATCH"], f"{name} is not active")
            return self._use(
                [old for old in self._active.stored if names and old.name not in names]
            )

    def rollback(self) -> int:
        """Return to the set that was active before the last change, with the bytes it had then."""
        with device_errors(), self._turns:
            wanted = self._store.journal.previous
            if wanted == self._active.stored:
                raise DeviceError(RC["NO_PREVIOUS"])
            return self._use(wanted)

    def remove(self, name: str) -> None:
        """Delete a stored patch that is not active."""
        with device_errors(), self._turns:
            # Who may push anything may also go back to an older patch, once it is removed.
            self._store.remove(name, forget=self._gate.policy != "require")

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
        self._answer = Answer()
        threading.Thread(
            target=self._generate, args=(self._answer, pieces), name="generate", daemon=True
        ).start()

    def output(self, off: int) -> tuple[bytes, bool, int, int]:
        """(UTF-8 bytes from `off`, done, tokens so far, elapsed us) of the last prompt."""
        return self._answer.read(off)

    # -- the device ----------------------------------------------------------------------------

    def info(self) -> Mapping[str, bool | int | str | bytes | Sequence[str]]:
        """What this device is and runs, and what slows it down just now."""
        here = conditions(kernel=self._model.core.kernel)
        return {
            "board": here.board or "linux",
            "kernel": here.kernel or "",
            **({"warnings": fitting(here.warnings)} if here.warnings else {}),
            "version": __version__,
            "model": self._model.name,
            "model_id": self._model.id,
            "active": list(self._active.names),
            "mode": self._mode.replace("-", "_"),
            "patches": len(self._store.names()),
            "policy": self._gate.policy,
            "ctx": self._ctx,
            "uptime_ms": (time.monotonic_ns() - self._start_ns) // 1_000_000,
        }

    def bench(self) -> Mapping[str, bool | int | str | bytes | Sequence[str]]:
        """Time some tokens under the active set; a prompt that is being answered goes first."""
        if not self._answer.done:
            raise DeviceError(RC["BUSY"], "a prompt is being answered")
        with self._turns:
            times = sorted(self._session.time_tokens(BENCH_TOKENS, budget_s=BENCH_S))
        return {
            "kernel": self._model.core.kernel,
            "threads": self._model.pool.threads if self._model.pool else 1,
            "tokens": len(times),
            "token_us": times[len(times) // 2] // 1000,
            "slowest_us": times[-1] // 1000,
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

    def _use(self, wanted: Sequence[Stored]) -> int:
        if tuple(wanted) == self._active.stored:
            return 0
        return self._active.switch(wanted, lambda: self._store.record(wanted))

    def _check(self, name: str, data: bytes) -> tuple[bytes, int | None]:
        """The bare `.bkp` in a file, and its sequence number.

        Raises when the file may not be stored as `name`: signature, damage, misnamed, misfit.
        """
        payload = self._gate.open(name, data)
        patch = parse(payload, name)
        if patch["name"] != name:
            raise DeviceError(
                RC["BAD_NAME"], f"the patch inside is named {patch['name']!r}, the file {name!r}"
            )
        model_id = patch["model_id"]
        if model_id is not None and model_id != self._model.id:
            raise DeviceError(
                RC["WRONG_MODEL"],
                f"made for {model_id.hex()[:16]}, this device runs "
                f"{self._model.id.hex()[:16]} ({self._model.name})",
            )
        self._session.check(payload, allow_unbound=self._allow_unbound)
        return payload, patch["sequence"]

    def _fits(self, name: str) -> bool:
        try:
            self._check(name, self._store.read(name))
        except (BankaiError, DeviceError):
            return False
        return True

    def _generate(self, answer: Answer, pieces: Iterator[str]) -> None:
        try:
            while True:
                with self._turns:
                    piece = next(pieces, None)
                if piece is None:
                    break
                answer.add(piece)
        except BankaiError as error:
            answer.finish(as_device_error(error))
        except Exception as error:
            self._log(f"generating failed: {error!r}")
            answer.finish(DeviceError(RC["INTERNAL"], str(error)))
        else:
            answer.finish()
