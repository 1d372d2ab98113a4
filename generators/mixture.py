"""A hybrid: what n-grams remember and what a network generalises, mixed by weights that depend on the context.

A transformer (`generators.gpt`) learns the text as it does alone; Kneser-Ney counts are taken of it. A gate, small and
trained last, looks at what both expect of the next character, how sure they are and where they differ, and weighs them

    p = sum over k of w_k(context) p_k,   k: the n-grams, the network, their normalised product n-grams^a network^b

(linear interpolation: Jelinek & Mercer 1980; product of experts: Hinton 2002). Both know their training text better
than any other, so the gate learns from a part of it that neither has seen (stacked generalisation: Wolpert 1992);
afterwards the n-grams are counted over all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from generators import gpt
from generators.core.arrays import under
from generators.core.discounts import tuned_discounts
from generators.core.errors import CheckpointError
from generators.core.generator import ModelInfo, Texts, torch_rng
from generators.core.kneser_ney import UNKNOWN, Ints, KneserNey
from generators.core.language_model import LanguageModel, LanguageStepper, padded
from generators.core.layers import Cache
from generators.core.optim import muon_and_adam
from generators.core.training import DEFAULT_MINUTES, Run

if TYPE_CHECKING:
    from accelerate import Accelerator

EXPERTS = ("n-grams", "network", "product")
SIGNS = 7  # of what the experts expect, see `signs`
HIDDEN = 32  # units of the gate
LEAST = 1e-7  # added to the n-grams' probabilities before their logarithm is taken
EVERY, HELD, PIECES = 20_000, 1_000, 100  # of about every so many characters so many are the gate's, in so many pieces
GATE_ITEMS = 20  # of a list, every so manieth item is
WINDOWS = 64  # that are read at once
GATE_MINUTES = 0.05  # share of a run's minutes that is kept for the gate
EPOCHS, STEPS, BATCH, RATE, DECAY = 8, 200, 512, 5e-3, 0.01  # of the gate's training; STEPS are the least


Carried = tuple[list[Cache] | None, Tensor]  # the transformer's keys and values, and the last symbols, (B, order - 1)
Parts = tuple[Tensor, Tensor]  # log distributions by n-grams and network, (..., V)


@dataclass
class Config(gpt.Config):
    """Options of a mixture: those of its GPT, and the n-grams' length."""

    order: int = 7  # length of the n-grams, 2 to 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.order <= 10:
            raise ValueError(f"order is {self.order}; it must be from 2 to 10.")
        if self.tokens:
            raise ValueError(f"tokens is {self.tokens}, but a mixture learns characters; leave tokens at 0.")

    def of_network(self) -> gpt.Config:
        """The GPT's own options."""
        return gpt.Config(**{field.name: getattr(self, field.name) for field in fields(gpt.Config)})


def signs(remembered: Tensor, guessed: Tensor) -> Tensor:
    """What tells how far two log distributions (..., V) are to be trusted: how sure each is, how far they agree."""
    n, m = remembered.exp(), guessed.exp()
    return torch.stack(
        [
            remembered.amax(-1),
            guessed.amax(-1),
            -(n * remembered).sum(-1),
            -(m * guessed).sum(-1),
            torch.minimum(n, m).sum(-1),
            (n.argmax(-1) == m.argmax(-1)).float(),
            (n * m).sum(-1).clamp_min(LEAST).log(),
        ],
        -1,
    )


class Gate(nn.Module):
    """What n-grams and network expect -> the experts' log probabilities (..., V, 3) and log weights (..., 1, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(SIGNS))
        self.register_buffer("spread", torch.ones(SIGNS))
        self.inner, self.outer = nn.Linear(SIGNS, HIDDEN), nn.Linear(HIDDEN, len(EXPERTS) + 2)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def fit(self, parts: Parts, said: Tensor, *, seed: int, check: Callable[[], None]) -> None:
        """Learn from what the experts expected at N places, and the symbols (N,) that came; by Adam."""
        looked = signs(*parts)
        self.centre.copy_(looked.mean(0).half())  # as they will be stored
        self.spread.copy_(looked.std(0, correction=0).clamp_min(0.01).half())
        generator, steps = torch_rng(seed), max(EPOCHS * len(said) // BATCH, STEPS)
        optimizer = torch.optim.AdamW(self.requires_grad_().parameters(), lr=RATE, weight_decay=DECAY)
        for step in range(steps):
            check()
            optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
            some = torch.randint(len(said), (min(BATCH, len(said)),), generator=generator)
            experts, weights = self(*(part[some] for part in parts))
            loss = -torch.logsumexp(experts + weights, -1).gather(1, said[some, None]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def forward(self, remembered: Tensor, guessed: Tensor) -> tuple[Tensor, Tensor]:
        """From the log distributions (..., V) by n-grams and network."""
        seen = (signs(remembered, guessed) - self.centre) / self.spread
        found = self.outer(functional.gelu(self.inner(seen)))
        powers = 0.5 + found[..., len(EXPERTS) :, None]  # (..., 2, 1)
        product = (powers[..., 0, :] * remembered + powers[..., 1, :] * guessed).log_softmax(-1)
        weights = found[..., None, : len(EXPERTS)].log_softmax(-1)
        return torch.stack([remembered, guessed, product], -1), weights


class Net(nn.Module):
    """Symbols (B, T) -> log probabilities (B, T, symbols) of what comes next, and what is carried on.

    Never predicted symbols, the unknown one and start symbols, have a probability of 0.
    """

    def __init__(self, config: Config, counts: KneserNey) -> None:
        super().__init__()
        self.gpt = gpt.Net(config.of_network(), counts.size + counts.starts)
        self.gate = Gate().requires_grad_(False)
        self.counts = counts

    def forward(
        self, symbols: Tensor, carried: Carried | None = None, alone: bool = False
    ) -> tuple[Tensor, Carried | None]:
        """`carried` from the call that read what stands before. `alone`: the network's own logits."""
        if alone:
            return self.gpt(symbols)[0], None
        parts, carried = self.parts(symbols, carried)
        experts, weights = self.gate(*parts)
        mixed = torch.logsumexp(experts + weights, -1)
        return functional.pad(mixed, (1, self.counts.starts), value=-torch.inf), carried

    def parts(self, symbols: Tensor, carried: Carried | None = None) -> tuple[Parts, Carried]:
        """What the gate sees at each position, (B, T, ...)."""
        caches, before = (None, symbols[:, :0]) if carried is None else carried
        seen = torch.cat([before, symbols], 1)
        logits, caches = self.gpt(symbols, caches)
        guessed = logits[..., 1 : self.counts.size].log_softmax(-1)
        remembered = (self.expected(seen, symbols.size(1))[..., 1:] + LEAST).log().log_softmax(-1)
        return (remembered, guessed), (caches, seen[:, 1 - self.counts.order :])

    def expected(self, symbols: Tensor, last: int) -> Tensor:
        """What the n-grams expect after each of the `last` symbols of rows (B, S): (B, last, size)."""
        rows = symbols.cpu().numpy()
        if len(rows) == last == 1:
            found = self.counts.distribution(self.counts.context(rows[0].tolist()))
        else:  # the unknown symbol, which no n-gram has in it, keeps rows from reading each other
            apart = np.pad(rows, [(0, 0), (0, 1)], constant_values=UNKNOWN)
            found = self.counts.distributions(apart.ravel()).reshape(*apart.shape, -1)[:, -last:]
        return torch.from_numpy(np.asarray(found, np.float32)).view(len(rows), last, -1).to(symbols.device)


class Mixture(LanguageModel):
    """A mixture of n-grams and a transformer; see the module's docstring."""

    family = "mixture"
    kinds = frozenset({"hybrid", "neural", "transformer", "markov"})
    refit_options: ClassVar[Mapping[str, Any]] = {}
    Config = Config
    net: Net

    def build(self, symbols: int) -> Net:
        size = len(self.vocabulary)
        return Net(self.config, KneserNey(size, symbols - size, []))

    @property
    def reach(self) -> int:
        return int(self.config.context)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return muon_and_adam(
            self.net.gpt, self.net.gpt.blocks, self.config.matrix_rate, self.config.learning_rate, betas=(0.8, 0.95)
        )

    def stepper(self, val: Texts) -> LanguageStepper:
        return Stepper(self, val)

    def prepare(self, texts: Texts, symbols: NDArray[Any], run: Run) -> tuple[Texts, NDArray[Any], Run]:
        """Keep some for the gate, and count the n-grams of the rest and of all."""
        began, size, starts = time.monotonic(), len(self.vocabulary), len(self.lengths) - 1
        run.tell(run.event("note", 0, 0.0, message=f"Counts the n-grams of {len(symbols):,} characters."))
        if self.items:
            rows = self._rows(texts, whole=True)
            stays = np.arange(len(rows)) % GATE_ITEMS < GATE_ITEMS - 1
            self._held = _of_rows([row[: self.reach + 1] for row, kept in zip(rows, stays, strict=True) if not kept])
            texts = texts.take(np.flatnonzero(stays))
            whole, rest = (np.concatenate(some) for some in (rows, self._rows(texts, whole=True)))
        else:
            pieces = held_pieces(len(symbols))
            self._held = _of_pieces(symbols, pieces, self.reach)
            whole, symbols = symbols, np.delete(symbols, np.concatenate([np.arange(*piece) for piece in pieces]))
            whole, rest = np.append(size, whole), np.append(size, symbols)
        options: dict[str, Any] = {
            "size": size,
            "starts": starts,
            "order": self.config.order,
            "check": run.cancel.check,
        }
        options["discounts"] = tuned_discounts(whole.astype(np.int64), self.items, options)
        self.net.counts, self._fewer = (KneserNey.fit(some, **options) for some in (whole, rest))
        self.info.parameters += self.net.counts.nodes
        if run.steps is None:
            spent, minutes = (time.monotonic() - began) / 60, run.minutes or DEFAULT_MINUTES
            run = replace(run, minutes=max(minutes * (1 - GATE_MINUTES) - spent, minutes * GATE_MINUTES))
        return texts, symbols, run

    def conclude(self, run: Run) -> None:
        """Train the gate on what the network and the fewer n-grams have not seen."""
        self.net.eval()
        with _counting(self.net, self._fewer):
            parts, said = self._parts_held()
        self.net.gate.fit(parts, said, seed=run.seed, check=run.cancel.check)
        del self._held, self._fewer

    @torch.no_grad()
    def _parts_held(self) -> tuple[Parts, Tensor]:
        """What the gate sees at each held place, (N, ...), and the symbols there, (N,), counted without the unknown."""
        windows, wanted = self._held
        device = next(self.net.parameters()).device
        found, said = [], []
        for start in range(0, len(windows), WINDOWS):
            tokens, mask = (some[start : start + WINDOWS].to(device) for some in (windows, wanted))
            parts, _ = self.net.parts(tokens[:, :-1])
            found.append([part[mask] for part in parts])
            said.append(tokens[:, 1:][mask] - 1)
        remembered, guessed = (torch.cat(some) for some in zip(*found, strict=True))
        return (remembered, guessed), torch.cat(said)

    @torch.inference_mode()
    def inner(self, symbols: Ints, start: int | None) -> dict[str, Any]:
        """The experts' weights at each symbol."""
        read = torch.tensor([[UNKNOWN if start is None else start, *symbols[:-1].tolist()]])
        _, weights = self.net.gate(*self.net.parts(read)[0])
        return {"weights": weights[0, :, 0].exp().numpy(), "experts": EXPERTS}

    def card_notes(self) -> str:
        c, counts = self.config, self.net.counts
        return (
            f"A mixture, by weights that depend on the context, of interpolated modified Kneser-Ney counts (order "
            f"{counts.order}, {counts.nodes:,} of them), a transformer of characters ({c.layers} blocks, {c.width} "
            f"wide, {c.heads} heads, which sees {c.context} characters) and the product of both. `nats_per_char` is "
            f"exact over the whole text, every character (after the first half window) predicted from at least "
            f"{c.context // 2} before it."
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """Those of a `LanguageModel`, and the counts."""
        return {**super().state(), **{f"counts.{name}": array for name, array in self.net.counts.state().items()}}

    @classmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        """The model back. Raises `CheckpointError` where the arrays do not fit."""
        model = super().from_state(info, state)
        counts = KneserNey.from_state(under("counts.", state))
        if (counts.size, counts.starts) != (model.net.counts.size, model.net.counts.starts):
            raise CheckpointError(f"The counts of {info.name} do not fit its vocabulary; train it again.")
        model.net.counts = counts
        return model


class Stepper(LanguageStepper):
    """A step of the network alone. It is validated on what is held back for the gate, half and half with the n-grams,
    since a network that has learnt its text by heart is of less use beside them than alone.
    """

    model: Mixture

    def validate(self) -> dict[str, float]:
        net = self.model.net
        net.eval()
        with _counting(net, self.model._fewer):
            (remembered, guessed), said = self.model._parts_held()
        net.train()
        mixed = torch.logaddexp(remembered, guessed).gather(1, said[:, None]) - np.log(2)
        return {"nats_per_char": -float(mixed.mean())}

    def read(self, symbols: Tensor, accelerator: Accelerator) -> Tensor:
        logits: Tensor = self.modules["net"](symbols, alone=True)[0]
        return logits


@contextmanager
def _counting(net: Net, counts: KneserNey) -> Iterator[None]:
    """With other counts for a while."""
    before, net.counts = net.counts, counts
    try:
        yield
    finally:
        net.counts = before


Held = tuple[Tensor, Tensor]  # windows (K, T + 1) of symbols, and which of their last T the gate learns from, (K, T)


def held_pieces(total: int) -> list[tuple[int, int]]:
    """The begin and the end of the pieces of a text of `total` characters that the gate learns from: evenly spread, so
    that all parts of the text are learnt by the others too.
    """
    count = min(max(round(total / EVERY), 1), PIECES)
    length, middles = min(HELD, total // (20 * count)), (np.arange(count) * 2 + 1) * total // (2 * count)
    return [(int(middle) - length // 2, int(middle) - length // 2 + max(length, 1)) for middle in middles]


def _of_pieces(symbols: NDArray[Any], pieces: list[tuple[int, int]], reach: int) -> Held:
    """Windows in which every symbol of the pieces has at least half a window before it, if the text has."""
    half = max(reach // 2, 1)
    spans = [(at, min(at + half, stop)) for start, stop in pieces for at in range(start, stop, half)]
    first, last = np.asarray(spans).T
    windows = np.maximum(first - 1 - (reach - half), 0)[:, None] + np.arange(reach + 1)
    said = windows[:, 1:]
    wanted = (said >= first[:, None]) & (said < last[:, None]) & (said < len(symbols))
    tokens = symbols[np.minimum(windows, len(symbols) - 1)].astype(np.int64)
    return torch.from_numpy(tokens), torch.from_numpy(wanted & (tokens[:, 1:] != UNKNOWN))


def _of_rows(rows: list[Ints]) -> Held:
    """A list's items, to their ends."""
    lengths = torch.tensor([len(row) for row in rows])
    tokens = padded(rows)
    return tokens, torch.arange(1, tokens.size(1)) < lengths[:, None]
