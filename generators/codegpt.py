"""A GPT that writes Python functions: `generators.gpt` taught by a list whose items have line breaks in them.

So an item's end is a symbol of its own, one that no program contains. It trains on functions set one after the other,
without padding: every second piece begins where a function does, as all that is scored and drawn do, the others
anywhere, so that the ends of long functions are learned too. What it writes is parsed, never run.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generators.core.bounds import within
from generators.core.coding import Draft, beginning, draft, parsing_lines
from generators.core.errors import DataError
from generators.core.generator import Cancel, Generator, Partial, Request, Texts, rng
from generators.core.inside import Inside
from generators.core.training import share
from generators.gpt import GPT
from generators.gpt import Config as GPTConfig

if TYPE_CHECKING:
    from generators.core.training import Run
    from generators.data.splits import Splits

TRIES = 8  # drafts of a function, until one parses
SAMPLE_LINES = 40  # of a raw sample, twice those of the longest function that is learned from


@dataclass
class Config(GPTConfig):
    """Options of a GPT of code."""

    context: int = 384  # characters that it sees, 8 to 4096: most functions whole


class CodeGPT(GPT):
    """A transformer of characters that writes Python functions; see the module's docstring."""

    family = "codegpt"
    kinds = frozenset({"neural", "transformer", "gpt"})
    medium = "code"
    tasks = frozenset({"write_code"})
    end = "\x03"  # end of text
    Config = Config

    @classmethod
    def fit(cls, splits: Splits[Texts], config: Any, run: Run, base: Self | None = None) -> Self:
        """See `LanguageModel.fit`. Raises `DataError` for a running text too."""
        if splits.train.running:
            raise DataError(
                f"{splits.source.name} is a running text, and {cls.family} learns functions; train gpt on it."
            )
        return super().fit(splits, config, run, base)

    @classmethod
    def taught(cls, items: bool) -> list[str]:
        return ["write_code"]

    def batches(self, texts: Texts, symbols: NDArray[Any], seed: int) -> Callable[[int], Tensor]:
        """Pieces of the functions one after the other; the start symbol in between is never predicted."""
        rows = self._rows(texts, whole=True)
        running = torch.from_numpy(np.concatenate(rows).astype(np.int32))
        begins = np.cumsum([0, *map(len, rows)])
        batch, length = self.config.batch, min(self.config.context, len(running) - 1)
        mine = share(batch)

        def pieces(step: int) -> Tensor:
            starts = np.random.default_rng([seed, step]).integers(0, len(running) - length, batch)
            starts[::2] = begins[np.searchsorted(begins, starts[::2], side="right") - 1]
            return torch.stack([running[start : start + length + 1] for start in starts[mine]]).long()

        return pieces

    def drafts(
        self, begun: str, lines: int = 20, temperature: float = 0.8, *, seed: int, cancel: Cancel | None = None
    ) -> Iterator[Draft]:
        """TRIES attempts at what follows `begun`, each from a seed of its own; at temperature 0, where all are alike,
        one.
        """
        symbols, _ = self.vocabulary.understand(begun)
        predictor, end = self.predictor, self.vocabulary.symbols[self.end]
        state = predictor.context([len(self.vocabulary), *symbols])
        for i in range(TRIES if temperature else 1):
            random = rng(seed, i)
            yield draft(predictor, self.vocabulary, end, state, begun, lines, temperature, random, cancel or Cancel())

    def draw(self, request: Request, *, seed: int, cancel: Cancel) -> Iterator[str | Partial]:
        """See `Generator.draw`: the first draft that parses; where none does, the one that does for most lines."""
        cancel.check()
        lines = within("lines", request.args.get("lines", 20), 1, 200)
        temperature = within("temperature", request.args.get("temperature", 0.8), 0.0, 2.0)
        prompt = str(request.args.get("prompt") or "")
        begun = beginning(prompt)
        if not begun.given:
            why = "The prompt is no Python" if prompt.strip() else "There is no prompt"
            yield Partial(f"{why}, so {self._name()} began with `{begun.text.strip()}`.")
        _, unknown = self.vocabulary.understand(begun.text)
        if unknown:
            yield Partial(
                f"{self._name()} does not know the characters {', '.join(unknown)}; it goes on from the rest."
            )
        drafts: list[Draft] = []
        for made in self.drafts(begun.text, lines, temperature, seed=seed, cancel=cancel):
            drafts.append(made)
            if made.parses:
                break
            yield Partial("drafts that do not parse", len(drafts), TRIES)
        chosen = drafts[-1] if drafts[-1].parses else max(drafts, key=lambda made: parsing_lines(made.text))
        if not chosen.parses:
            many = f"None of {len(drafts)} drafts" if len(drafts) > 1 else "The draft"
            yield Partial(f"{many} parses as Python, so this one has a syntax error; another seed may do better.")
        elif chosen.cut:
            yield Partial("It went on for longer and was cut after a whole statement.")
        if self._inventor().is_known(chosen.text):
            yield Partial(f"It stands in {self.info.data}, word for word.")
        yield textwrap.indent(chosen.text, begun.indent)

    def look_inside(self, text: str) -> Inside:
        """Functions have several lines, so it cannot be looked into."""
        return Generator.look_inside(self, text)

    def sample(self, count: int, *, label: str | None = None, seed: int = 0) -> dict[str, NDArray[Any]]:
        """`texts` (N,) str: functions drawn at temperature 1, whether they parse or not, cut at SAMPLE_LINES."""
        many = within("count", count, 1, 10**6)
        drawn = [next(self.drafts("", SAMPLE_LINES, 1.0, seed=int(rng(seed, i).integers(2**31)))) for i in range(many)]
        return {"texts": np.asarray([made.text for made in drawn])}

    def card_notes(self) -> str:
        c = self.config
        return (
            f"A decoder-only transformer of characters for Python functions: {c.layers} blocks, {c.width} wide, "
            f"{c.heads} heads, which sees {c.context} characters. It knows what code looks like, not what it does: "
            f"what it writes is checked to parse and is never run. `nats_per_char` is exact over all functions, whose "
            f"ends count as a character each; of longer ones every character (after the first half window) is "
            f"predicted from at least {c.context // 2} before it."
        )
