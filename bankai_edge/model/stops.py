"""Stop strings: text ends before the first that it completes, and no part of one is given out."""

from __future__ import annotations

from collections.abc import Sequence

from bankai_edge.errors import UsageError


class StopFilter:
    """Passes text on, holding back what may turn out to be the start of a stop string."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        """`stops` in any order; raises UsageError when one is empty."""
        if not all(stops):
            raise UsageError("an empty stop string", expected="some text that ends the answer")
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """What may be shown now; nothing more once `stopped`."""
        if self.stopped:
            return ""
        text = self._held + text
        # the one that ends first, so that it does not matter how the text was cut
        found = [(at + len(s), at) for s in self._stops if (at := text.find(s)) >= 0]
        if found:
            self._held, self.stopped = "", True
            return text[: min(found)[1]]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """The text that was held back for nothing."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How much of the end of `text` begins `stop`."""
    for n in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[len(text) - n :]):
            return n
    return 0
