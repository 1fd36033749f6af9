"""The line shell: what a human typing on the device's serial line gets as an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from bankai_edge._link import RC, DeviceError
from bankai_edge.agent.device import AgentDevice
from bankai_edge.agent.refusals import error_text

POLL_S = 0.02
HELP = """\
help              this text
info              what this device is and runs
list              the stored patches; * marks the active ones
use NAME [NAME]   activate these patches, all or none
off               deactivate every patch
rollback          return to the previous set
rm NAME           remove a patch
verify            check weights and patches
ask TEXT          ask the model
bench             time of a token
"""


class Shell:
    """Answers one typed line at a time."""

    def __init__(self, device: AgentDevice) -> None:
        self._device = device
        self._verbs: dict[str, Callable[[str], Iterator[str]]] = {
            "help": self._help,
            "info": self._info,
            "list": self._list,
            "use": self._use,
            "off": self._off,
            "rollback": self._rollback,
            "rm": self._rm,
            "verify": self._verify,
            "ask": self._ask,
            "bench": self._bench,
        }

    def answer(self, line: str) -> Iterator[str]:
        """Yield the answer to one line in pieces; an unknown verb is answered with a hint."""
        verb, _, rest = line.strip().partition(" ")
        if not verb:
            return
        if verb not in self._verbs:
            yield f"unknown command {verb!r}; try help\n"
            return
        try:
            yield from self._verbs[verb](rest.strip())
        except DeviceError as error:
            yield f"error: {error_text(error)}\n"

    def _help(self, rest: str) -> Iterator[str]:
        yield HELP

    def _info(self, rest: str) -> Iterator[str]:
        yield from _fields(self._device.info())

    def _bench(self, rest: str) -> Iterator[str]:
        yield from _fields(self._device.bench())

    def _list(self, rest: str) -> Iterator[str]:
        stored = self._device.list()
        for name, size, active in stored:
            yield f"{'*' if active else ' '} {name}  {size} bytes\n"
        if not stored:
            yield "no patches\n"

    def _use(self, rest: str) -> Iterator[str]:
        if not rest:
            raise DeviceError(RC["BAD_ARGUMENT"], "use which patch? try list")
        yield self._switched(self._device.activate(rest.split()))

    def _off(self, rest: str) -> Iterator[str]:
        yield self._switched(self._device.deactivate(rest.split()))

    def _rollback(self, rest: str) -> Iterator[str]:
        yield self._switched(self._device.rollback())

    def _rm(self, rest: str) -> Iterator[str]:
        self._device.remove(rest)
        yield f"removed {rest}\n"

    def _verify(self, rest: str) -> Iterator[str]:
        report = self._device.verify()
        yield "ok\n" if report["ok"] else f"NOT ok: {report}\n"

    def _ask(self, rest: str) -> Iterator[str]:
        self._device.generate(rest, 64)
        off = 0
        decoder = _utf8()
        while True:
            data, done, _, _ = self._device.output(off)
            off += len(data)
            if data:
                yield decoder(data)
            if done:
                break
            time.sleep(POLL_S)
        yield "\n"

    def _switched(self, took_ns: int) -> str:
        active = self._device.info()["active"]
        assert isinstance(active, list)
        return f"active: {' '.join(active) or 'nothing'} (switched in {took_ns / 1000:.0f} us)\n"


def _fields(fields: Mapping[str, bool | int | str | bytes | Sequence[str]]) -> Iterator[str]:
    for key, value in fields.items():
        if isinstance(value, bytes):
            text = value.hex()
        elif isinstance(value, (str, int)):
            text = str(value)
        else:
            text = " ".join(value) or "-"
        yield f"{key}: {text}\n"


def _utf8() -> Callable[[bytes], str]:
    import codecs

    return codecs.getincrementaldecoder("utf-8")(errors="replace").decode
