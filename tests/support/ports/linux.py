"""The Linux agent: its device in this process, and as a process on a serial cable."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bankai_edge.agent.device import AgentDevice
from bankai_edge.agent.pty_line import PtyCable
from bankai_edge.agent.store import Store
from bankai_edge.model import Model, Session
from support.agents import Agent
from support.ports import Ability, Mode, Port, Running, Setting
from support.ports.line import LineDevice

CTX = 48


class InProcess:
    """An AgentDevice; power is cut by forgetting it."""

    def __init__(self, setting: Setting, mode: Mode) -> None:
        self._setting = setting
        self._mode = mode
        self._reset_asked = False
        self.start()

    def start(self) -> None:
        setting = self._setting
        in_place = self._mode == "in_place"
        model = Model(setting.model, writable=in_place)
        self._store = Store(setting.folder / "store")
        self._agent = AgentDevice(
            Session(model, ctx=CTX, mode="in-place" if in_place else "overlay"),
            self._store,
            log=lambda _: None,
            on_reset=self._ask_reset,
            policy=setting.policy,
            trust=setting.trust,
        )

    def _ask_reset(self) -> None:
        self._reset_asked = True

    def packet(self, packet: bytes, /) -> bytes:
        answer = self._agent.packet(packet)
        if self._reset_asked:
            self.power_cut()
        return answer

    def shell(self, line: str) -> str:
        text = "".join(self._agent.shell(line))
        if self._reset_asked:
            self.power_cut()
        return text

    def power_cut(self) -> None:
        self._reset_asked = False
        self._store.close()  # what holds the directory
        self.start()

    reset = power_cut

    def close(self) -> None:
        self._agent.close()


@contextmanager
def in_process(setting: Setting, mode: Mode) -> Iterator[Running]:
    """The device alone."""
    device = InProcess(setting, mode)
    yield device
    device.close()


class AgentBoard:
    """An agent process on a cable; `firmware.board.Board`."""

    keeps_store = True

    def __init__(self, setting: Setting, cable: PtyCable) -> None:
        self._setting = setting
        self._cable = cable
        self.path = cable.host_path
        self.start()

    def start(self) -> None:
        setting = self._setting
        trust: tuple[str | Path, ...] = ("--trust", setting.trust) if setting.trust else ()
        self._agent = Agent(
            setting.model, setting.folder / "store", "--serial", self._cable.agent_path,
            "--ctx", str(CTX), "--policy", setting.policy, *trust,
        )  # fmt: skip

    def power_cut(self) -> None:
        self._agent.stop(signal.SIGKILL)
        self.start()

    reset = power_cut

    def close(self) -> None:
        self._agent.stop(signal.SIGKILL)  # it may be amid a reset, and then hears no SIGTERM


@contextmanager
def on_a_cable(setting: Setting) -> Iterator[Running]:
    """The whole process."""
    with PtyCable() as cable:
        board = AgentBoard(setting, cable)
        device = LineDevice(board)
        try:
            yield device
        finally:
            device.close()
            board.close()


def _alone(mode: Mode) -> Callable[[Setting], AbstractContextManager[Running]]:
    return lambda setting: in_process(setting, mode)


ALL: frozenset[Ability] = frozenset({"clock", "keeps", "policy"})
PORTS = (
    Port("linux", _alone("overlay"), "overlay", ALL, CTX, steps=120),
    Port("linux-in-place", _alone("in_place"), "in_place", ALL, CTX, steps=120),
    Port("linux-process", on_a_cable, "overlay", ALL | {"line"}, CTX),
)
