"""A serial cable that can be cut, mended and pulled out."""

from __future__ import annotations

from bankai_edge.agent.pty_line import PtyCable


class CutCable(PtyCable):
    """A PtyCable with scissors."""

    def __init__(self) -> None:
        self._budget: int | None = None
        super().__init__()

    def __enter__(self) -> CutCable:
        return self

    def cut_after(self, to_agent_bytes: int) -> None:
        """Carry that many more bytes towards the agent, then nothing in either direction."""
        self._budget = to_agent_bytes

    def mend(self) -> None:
        """Carry bytes again. What was sent while the cable was cut is lost."""
        self._budget = None

    def unplug_host(self) -> None:
        """Hang the host's end up for good, as when a USB adapter is pulled."""
        self._stop()
        self._hang_up(self._host_slave, self._host_master)

    def _carry(self, source: int, data: bytes) -> None:
        if source == self._host_master and self._budget is not None:
            data = data[: self._budget]
            self._budget -= len(data)
        elif self._budget == 0:
            return
        super()._carry(source, data)
