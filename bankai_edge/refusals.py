"""How the core's refusals become sentences: its words, what was expected, what to do."""

from __future__ import annotations

from dataclasses import dataclass

from bankai_edge._facts import error_text
from bankai_edge.errors import BankaiError, CoreError, IncompatibleError


@dataclass(frozen=True)
class Advice:
    """What a person wants to know beside the core's words, and which error it is to them."""

    expected: str = ""
    next_step: str = ""
    kind: type[BankaiError] = IncompatibleError
    found: str = ""  # in place of the core's words, where those are not exact enough

    def refuse(
        self, name: str, error: CoreError, *, detail: str = "", found: str = "", expected: str = ""
    ) -> BankaiError:
        """The sentence about the thing called `name`; `detail` goes in brackets."""
        words = found or self.found or error_text(error.code)
        said = f"{name} {words}" + (f" ({detail})" if detail else "")
        return self.kind(said, expected=expected or self.expected, next_step=self.next_step)
