"""EleutherAI's lm-evaluation-harness on this engine (extra: ``bankai-edge[harness]``).

    python -m bankai_edge.judge.harness --model bankai-edge \
        --model_args path=model.gguf,patches=a.bkp+b.bkp --tasks gsm8k

Every other option is the harness's own. Scores are bit-exact; generation is greedy.
"""

# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from bankai_edge.errors import UsageError
from bankai_edge.judge.evaluate import Evaluator
from bankai_edge.model import Model, Session
from bankai_edge.patch import files
from bankai_edge.probes.domains import Item
from bankai_edge.probes.packs import Probe

CONTEXT = 2048
MOST_TOKENS = 256  # of a generation whose task does not say
_ITEM = Item("harness", "harness", "", "", "heldout")


@register_model("bankai-edge")
class BankaiEdge(TemplateLM):
    """A GGUF and its active patches as the harness sees a model."""

    def __init__(
        self, path: str, patches: str = "", threads: int = 1, ctx: int = CONTEXT, **_: Any
    ) -> None:
        """`patches` are .bkp files joined by ``+``; they must fit the model (exit 4)."""
        super().__init__()
        self._model = Model(Path(path), threads=1)
        self._ctx = min(int(ctx), self._model.shape.context)
        self._patches = [files.read_bytes(Path(name)) for name in patches.split("+") if name]
        self._session = Session(self._model, ctx=self._ctx)
        self._session.use(self._patches)
        self._evaluator = Evaluator(self._model, threads=int(threads), ctx=self._ctx)

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text, which also stands before an empty context."""
        end = self._model.tokenizer.eos_id
        if end is None:
            raise UsageError("a model without an end-of-text token")
        return end

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        """Token ids; no special ones are added."""
        return self._model.tokenizer.encode(string)

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        """(log-probability, greedy?) of each continuation; the context loses its start first."""
        probes, at = [], []
        found: list[tuple[float, bool]] = [(0.0, True)] * len(requests)
        for i, (_, context, continuation) in enumerate(requests):
            if not continuation:
                continue  # it merged into the context's last token
            if len(continuation) >= self._ctx:
                raise UsageError(f"a continuation of {len(continuation)} tokens",
                                 expected=f"fewer than the context's {self._ctx}")  # fmt: skip
            kept = context[-(self._ctx - len(continuation)) :]
            probes.append(Probe(_ITEM, tuple(kept), tuple(continuation), open=True))
            at.append(i)
        scores = self._evaluator.scores(probes, self._patches)
        for i, logprob, right in zip(at, scores.logprob, scores.right, strict=True):
            found[i] = float(logprob), bool(right)
        return found

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-probability of whole texts, window by window."""
        found = []
        for request in requests:
            windows = map(
                make_disjoint_window,
                get_rolling_token_windows(
                    self.tok_encode(request.args[0]), self.eot_token_id, self._ctx - 1, 1
                ),
            )
            parts = [(None, context, continuation) for context, continuation in windows]
            found.append(float(np.sum([x for x, _ in self._loglikelihood_tokens(parts)])))
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Greedy text up to the first of the task's stop strings."""
        found = []
        for request in requests:
            prompt, options = request.args
            until = options.get("until") or []
            stops = [until] if isinstance(until, str) else list(until)
            limit = int(options.get("max_gen_toks") or MOST_TOKENS)
            text = ""
            for piece in self._session.generate(prompt, max_tokens=limit):
                text += piece
                if any(stop in text for stop in stops):
                    break
            for stop in stops:
                text = text.split(stop, 1)[0] if stop else text
            found.append(text)
        return found


def main() -> None:
    """The harness's own command line, with this model in it."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
