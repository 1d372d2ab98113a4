"""A hybrid: what n-grams remember, what a network generalises and what the text repeats, weighed by context.

A transformer (`generators.gpt`) learns the text as it does alone; Kneser-Ney counts are taken of it; a cache looks up
the text so far (`generators.core.recency`), of which it counts what was given, not what the model wrote itself. A gate,
small and trained last, looks at what they expect of the next character, how sure each is and how far they agree, and
weighs them and their product:

    p = sum over k of w_k(context) p_k,   k: n-grams, network, cache, and n-grams^a network^b cache^c, normalised

(linear interpolation: Jelinek & Mercer 1980; product of experts: Hinton 2002). Network and n-grams know their training
text better than any other, so the gate learns from stretches that neither has seen, the cache from the beginning of
each (stacked generalisation: Wolpert 1992). Afterwards the n-grams are counted over all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from generators import gpt
from generators.core.arrays import net_arrays, restore_net, under
from generators.core.discounts import tuned_discounts
from generators.core.errors import CheckpointError, DataError
from generators.core.generator import ModelInfo, Splits, Texts, torch_rng
from generators.core.kneser_ney import UNKNOWN, Floats, Ints, KneserNey
from generators.core.net_predictor import NetPredictor, State, probabilities
from generators.core.recency import WINDOW, recent, recents
from generators.core.symbols import stored
from generators.core.text_model import TextModel
from generators.core.training import DEFAULT_MINUTES, Run
from generators.gpt import GPT

if TYPE_CHECKING:
    from generators.core.vocabulary import Vocabulary

EXPERTS = ("n-grams", "network", "cache", "product")
PARTS = len(EXPERTS) - 1  # those without the product
SIGNS = 4 * PARTS  # of what they expect, see `signs`
HIDDEN = 32  # units of the gate
LEAST = 1e-7  # added to counted probabilities before their logarithm is taken
MOST = 30_000_000  # characters that n-grams are counted of
EVERY, STRETCH, STRETCHES = 160_000, 5_000, 20  # of about every so many characters so many are held back for the gate
NETWORK_SHARE = 0.88  # of a run's minutes; the rest is for counting, and for the gate
CELLS = 10_000_000  # places times symbols, of those, that it learns from at most
EPOCHS, STEPS, BATCH, RATE, DECAY = 8, 200, 512, 5e-3, 0.01  # of the gate's training; STEPS are the least


@dataclass
class Config(gpt.Config):
    """Options of a mixture: those of its GPT, and the n-grams' length."""

    order: int = 7  # length of the n-grams, 2 to 10
    max_counts: int = 0  # n-grams that are kept, those that tell most (single ones all), 1000 to 1000000000; 0: all

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.order <= 10:
            raise ValueError(f"order is {self.order}; it must be from 2 to 10.")
        if self.max_counts and not 1000 <= self.max_counts <= 10**9:
            raise ValueError(f"max_counts is {self.max_counts}; it must be from 1000 to 1000000000, or 0 for all.")
        if self.lora:
            raise ValueError(f"lora is {self.lora}, but a mixture cannot go on from a model; leave lora at 0.")
        if self.tokens:
            raise ValueError(f"tokens is {self.tokens}, but a mixture learns characters; leave tokens at 0.")

    def of_network(self) -> gpt.Config:
        """The GPT's own options."""
        return gpt.Config(**{field.name: getattr(self, field.name) for field in fields(gpt.Config)})


def signs(parts: Tensor) -> Tensor:
    """What tells how far log distributions (..., V, PARTS) are to be trusted, (..., SIGNS): how likely the likeliest
    symbol of each is, its entropy, how much of each pair overlaps, and how likely a symbol is that two agree on.
    """
    p = parts.exp()
    after = torch.roll(p, 1, -1)
    return torch.cat(
        [
            parts.amax(-2),
            -(p * parts).sum(-2),
            torch.minimum(p, after).sum(-2),
            (p * after).sum(-2).clamp_min(LEAST).log(),
        ],
        -1,
    )


class Gate(nn.Module):
    """Log distributions (..., V, PARTS) -> the log distribution (..., V) that they come to."""

    def __init__(self) -> None:
        super().__init__()
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(SIGNS))
        self.register_buffer("spread", torch.ones(SIGNS))
        self.inner, self.outer = nn.Linear(SIGNS, HIDDEN), nn.Linear(HIDDEN, len(EXPERTS) + PARTS)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, parts: Tensor) -> Tensor:
        experts, weights = self.weighed(parts)
        return torch.logsumexp(experts + weights, -1)

    def weighed(self, parts: Tensor) -> tuple[Tensor, Tensor]:
        """The experts' log probabilities (..., V, 4) and log weights (..., 1, 4)."""
        seen = (signs(parts) - self.centre) / self.spread
        found = self.outer(nn.functional.gelu(self.inner(seen)))[..., None, :]
        powers = 1 / PARTS + found[..., len(EXPERTS) :]
        product = (powers * parts).sum(-1, keepdim=True).log_softmax(-2)
        return torch.cat([parts, product], -1), found[..., : len(EXPERTS)].log_softmax(-1)

    def fit(self, parts: Tensor, said: Tensor, *, seed: int, check: Callable[[], None]) -> None:
        """Learn from what was expected at N places, (N, V, PARTS), and the symbols (N,) that came; by Adam."""
        looked = signs(parts)
        self.centre.copy_(looked.mean(0).half())  # as they will be stored
        self.spread.copy_(looked.std(0, correction=0).clamp_min(0.01).half())
        generator, steps = torch_rng(seed), max(EPOCHS * len(said) // BATCH, STEPS)
        optimizer = torch.optim.AdamW(self.parameters(), lr=RATE, weight_decay=DECAY)
        for step in range(steps):
            check()
            optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
            some = torch.randint(len(said), (min(BATCH, len(said)),), generator=generator)
            loss = -self(parts[some]).gather(1, said[some, None]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        restore_net(self, net_arrays(self))


@dataclass(frozen=True)
class Reading:
    """What a mixture knows of the symbols so far: the network's state, the n-grams' nodes, and the symbols, of which
    the first `given` were given to it.
    """

    state: State
    nodes: list[int]
    history: NDArray[np.unsignedinteger]
    given: int


class Mixture(TextModel):
    """A mixture of n-grams, a transformer and a cache; see the module's docstring. It learns running text."""

    family = "mixture"
    kinds = frozenset({"hybrid", "neural", "transformer", "markov"})
    tasks = frozenset({"write_text"})
    Config = Config
    items = False

    def __init__(self, info: ModelInfo, network: GPT, counts: KneserNey, gate: Gate) -> None:
        self.info, self.network, self.counts, self.gate = info, network, counts, gate
        self.vocabulary: Vocabulary = network.vocabulary
        self.known, self.lengths = network.known, network.lengths

    @property
    def size(self) -> int:
        """How many symbols there are, the unknown one included."""
        return len(self.vocabulary)

    @classmethod
    def fit(cls, splits: Splits[Texts], config: Any, run: Run) -> Self:
        """Train on `splits.train` and count it within the run's budget; see `Generator.fit`.

        What chooses between the network's checkpoints is what is held back for the gate, not `splits.val`.
        Raises ValueError for options out of bounds, `DataError` for lists and for data without text, `Cancelled`.
        """
        text = _checked(splits)
        stretches = held_stretches(len(text))
        kept = _without(text, stretches)
        held = Texts(("".join(text[start:stop] for start, stop in stretches),), True)
        alone = run
        if run.minutes or not (run.steps or run.resume):  # else as the interrupted run was started
            alone = replace(run, minutes=(run.minutes or DEFAULT_MINUTES) * NETWORK_SHARE)
        network = GPT.fit(Splits(Texts((kept,), True), held, source=splits.source), config.of_network(), alone)
        run.tell(run.event("note", 0, 0.0, message=f"Counts the n-grams of {len(text):,} characters."))
        size = len(network.vocabulary)
        whole, fewer = (np.append(size, network.vocabulary.encode(some)) for some in (text, kept))
        options: dict[str, Any] = {"size": size, "starts": 1, "order": config.order, "check": run.cancel.check}
        options["discounts"] = tuned_discounts(whole, False, options)
        options["max_nodes"] = config.max_counts
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)  # torch's initialisers know only the global generator
            gate = Gate()
        info = ModelInfo.of(cls, splits, config, seed=run.seed)
        model = cls(info, network, KneserNey.fit(fewer, **options), gate)
        model._learn_weights(whole[1:], stretches, run)
        model.counts, model.trained = KneserNey.fit(whole, **options), network.trained
        info.parameters = network.info.parameters + model.counts.nodes
        return model

    def _learn_weights(self, symbols: Ints, stretches: list[tuple[int, int]], run: Run) -> None:
        """Train the gate on what the network and the n-grams have not seen."""
        parts, said = [], []
        length = max(CELLS // self.size, 2_000) // len(stretches)
        for start, end in stretches:
            stop = min(end, start + length)
            first = max(0, start - self.reach // 2 - 1)
            for some, came in self._expected(symbols[first:stop], start - first):
                run.cancel.check()
                parts.append(some[came != UNKNOWN])
                said.append(came[came != UNKNOWN] - 1)
        if any(map(len, said)):
            self.gate.fit(
                torch.cat(parts), torch.from_numpy(np.concatenate(said)), seed=run.seed, check=run.cancel.check
            )
        self.gate.requires_grad_(False)

    @property
    def reach(self) -> int:
        """Symbols that the network sees at most."""
        return self.network.reach

    @property
    def predictor(self) -> MixturePredictor:
        """All of them together predict."""
        return MixturePredictor(self)

    def share(self, item: str, kind: int) -> float:
        """It knows no kinds of items."""
        return 1.0

    def joined(self, remembered: Tensor, logits: Tensor, cached: Tensor) -> Tensor:
        """What the gate reads, (..., size - 1, PARTS): the parts' log probabilities of all symbols but the unknown.

        From probabilities (..., size) by n-grams and cache, and the network's logits (..., at least size).
        """
        counted = [(p[..., 1:].float() + LEAST).log().log_softmax(-1) for p in (remembered, cached)]
        return torch.stack([counted[0], logits[..., 1 : self.size].float().log_softmax(-1), counted[1]], -1)

    def _expected(self, symbols: NDArray[Any], begin: int = 1) -> Iterator[tuple[Tensor, Ints]]:
        """What is `joined` before each symbol of a sequence (N,) from `begin` on, and these symbols; some at a time.

        Network and n-grams see what stands before `begin` too, the cache does not.
        """
        done, begin = 1, max(begin, 1)
        for logits in self.network.foresee(symbols):
            start, stop = max(done, begin), done + len(logits)
            if start < stop:
                first = max(0, start - self.counts.order + 1)
                remembered = self.counts.distributions(symbols[first:stop])[start - first :]
                cached = recents(symbols[begin:], start - begin, stop - begin, self.size)
                parts = self.joined(
                    torch.from_numpy(remembered), logits[start - done :].cpu(), torch.from_numpy(cached)
                )
                yield parts, symbols[start:stop].astype(np.int64)
            done = stop

    @torch.inference_mode()
    def score(self, split: Texts) -> dict[str, float]:
        """`nats_per_char` over the whole split, exact, and `n`, the characters scored.

        Every character is predicted from those before it: by the n-grams from their order's, by the network from at
        least half of what it sees (those of the first half window from fewer), by the cache from the last `WINDOW`.
        """
        if not split.characters:
            raise DataError("There is no text to score; give a file with some.")
        encoded = self.vocabulary.encode_all(split.pieces())
        symbols, _ = stored(chain([np.asarray([UNKNOWN])], encoded), self.size)
        total, unknown = 0.0, self.network.unknown
        for parts, said in self._expected(symbols):
            p = self.gate(parts).double().gather(1, torch.from_numpy(said - 1).clamp_min(0)[:, None])[:, 0].numpy()
            total -= float(np.where(said == UNKNOWN, np.log(unknown), p + np.log1p(-unknown)).sum())
        n = split.characters
        return {"nats_per_char": total / n, "n": float(n)}

    @torch.inference_mode()
    def inner(self, symbols: Ints, start: int | None) -> dict[str, Any]:
        """The experts' weights at each symbol."""
        parts = torch.cat([some for some, _ in self._expected(np.append(UNKNOWN, symbols))])
        _, weights = self.gate.weighed(parts)
        return {"weights": weights[:, 0].exp().numpy(), "experts": EXPERTS}

    def card_notes(self) -> str:
        """What is particular to this model."""
        c, counts = self.config, self.counts
        return (
            f"A mixture, by weights that depend on the context, of interpolated modified Kneser-Ney counts (order "
            f"{counts.order}, {counts.nodes:,} of them), a transformer of characters ({c.layers} blocks, {c.width} "
            f"wide, {c.heads} heads, which sees {c.context} characters), a cache of the last {WINDOW:,} characters and "
            f"the product of all. `nats_per_char` is exact over the whole text, every character predicted from those "
            f"before it, what was scored before included: that is what the cache reads."
        )

    @property
    def config(self) -> Config:
        """The options it was made with."""
        return Config(**self.info.config)

    def state(self) -> dict[str, NDArray[Any]]:
        """The network's arrays, the counts and the gate."""
        parts = {"network": self.network.state(), "counts": self.counts.state(), "gate": net_arrays(self.gate)}
        return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    @classmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        """The model back. Raises `CheckpointError` where the arrays do not fit."""
        try:
            gate = Gate()
            restore_net(gate, under("gate.", state))
            config = Config(**info.config).of_network()
            network = GPT.from_state(replace(info, family="gpt", config=asdict(config)), under("network.", state))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"The weights of {info.name} do not fit its config.json; train it again.") from error
        counts = KneserNey.from_state(under("counts.", state))
        if counts.size != len(network.vocabulary):
            raise CheckpointError(f"The counts of {info.name} do not fit its vocabulary; train it again.")
        return cls(info, network, counts, gate)


class MixturePredictor(NetPredictor):
    """A mixture as a `generators.core.writing.Predictor`."""

    def __init__(self, model: Mixture) -> None:
        super().__init__(model.network.net, model.size, model.reach, model.network.unknown)
        self.model, self.network = model, model.network.predictor

    def context(self, symbols: list[int]) -> Any:
        """All of the symbols, read at once."""
        history = np.asarray(symbols, np.uint32)
        return Reading(self.network.context(symbols), self.model.counts.context(symbols), history, len(history))

    def extend(self, context: Any, symbol: int) -> Any:
        """One symbol more, that it wrote itself: the cache counts none of these, or it would feed on repetitions."""
        return Reading(
            self.network.extend(context.state, symbol),
            self.model.counts.extend(context.nodes, symbol),
            np.append(context.history, np.uint32(symbol)),
            context.given,
        )

    def distribution(self, context: Any, longest: int | None = None) -> Floats:
        """(size,) the next symbol's probabilities."""
        remembered = self.model.counts.distribution(context.nodes)
        cached = recent(context.history, self.size, context.given)
        return self._weighed(remembered, context.state.logits, cached)

    def advanced(self, context: Any, symbols: Sequence[int]) -> Any:
        """The context after these symbols."""
        nodes = context.nodes
        for symbol in symbols:
            nodes = self.model.counts.extend(nodes, symbol)
        history = np.append(context.history, np.asarray(symbols, np.uint32))
        return Reading(self.network.advanced(context.state, symbols), nodes, history, context.given)

    def forked(self, context: Any, count: int) -> Any:
        """The network's contexts, and the rest of each."""
        return [self.network.forked(context.state, count), [context] * count]

    def stepped(self, contexts: Any, rows: Ints, symbols: Ints) -> Any:
        """Those of `rows`, each after one more symbol."""
        rest = [
            replace(
                contexts[1][k],
                nodes=self.model.counts.extend(contexts[1][k].nodes, symbol),
                history=np.append(contexts[1][k].history, np.uint32(symbol)),
            )
            for k, symbol in zip(rows.tolist(), symbols.tolist(), strict=True)
        ]
        return [self.network.stepped(contexts[0], rows, symbols), rest]

    def each_distribution(self, contexts: Any) -> Floats:
        """(K, size) the next symbol's probabilities in each of K contexts."""
        remembered = np.stack([self.model.counts.distribution(one.nodes) for one in contexts[1]])
        cached = np.stack([recent(one.history, self.size, one.given) for one in contexts[1]])
        return self._weighed(remembered, contexts[0].logits, cached)

    def foreseen(self, context: Any, rows: Sequence[Sequence[int]]) -> list[Floats]:
        """For every row of T symbols after the context, (T + 1, size): before each of them, and after the last."""
        tail = context.history[len(context.history) - min(len(context.history), self.model.counts.order - 1) :]
        remembered, cached = [], []
        for row in rows:
            read = np.concatenate([context.history, np.asarray(row, np.uint32)])
            ends = range(len(context.history), len(read) + 1)
            remembered.append(self.model.counts.distributions(np.asarray([*tail, *row, UNKNOWN]))[len(tail) :])
            cached.append(np.stack([recent(read[:end], self.size, context.given) for end in ends]))
        logits = torch.cat(self.network.logits(context.state, rows))
        p = self._weighed(np.concatenate(remembered), logits, np.concatenate(cached))
        return np.split(p, np.cumsum([len(part) for part in cached])[:-1])

    @torch.inference_mode()
    def _weighed(self, remembered: NDArray[Any], logits: Tensor, cached: NDArray[Any]) -> Floats:
        """What counts, network and cache come to, (..., size)."""
        parts = self.model.joined(torch.from_numpy(remembered), logits, torch.from_numpy(cached))
        log_p = self.model.gate(parts)
        p = probabilities(torch.cat([torch.zeros_like(log_p[..., :1]), log_p], -1), self.unknown)
        return np.asarray(p.numpy())


def held_stretches(total: int) -> list[tuple[int, int]]:
    """Begin and end of the stretches of a text of `total` characters that the gate learns from: 3 % of it at most,
    evenly spread, so that all parts of the text are learnt by the others too.
    """
    count = min(max(round(total / EVERY), 1), STRETCHES)
    length = max(min(STRETCH, total * STRETCH // (EVERY * count)), 1)
    middles = (np.arange(count) * 2 + 1) * total // (2 * count)
    return [(int(middle) - length // 2, int(middle) - length // 2 + length) for middle in middles]


def _without(text: str, stretches: list[tuple[int, int]]) -> str:
    """What is left of a text, and at its end the characters that are in the stretches only."""
    ends = [0, *(stop for _, stop in stretches)]
    starts = [*(start for start, _ in stretches), len(text)]
    kept = "".join(text[end:start] for end, start in zip(ends, starts, strict=True))
    return kept + "".join(sorted(set(text) - set(kept)))


def _checked(splits: Splits[Texts]) -> str:
    """The text to train on. Raises `DataError` for one that a mixture cannot learn."""
    name, train = splits.source.name, splits.train
    if not train.running:
        raise DataError(f"{name} is a list, and a mixture learns running text; train lstm on it.")
    if train.blank:
        raise DataError(f"{name} holds no text to learn from; give a file with some.")
    if train.characters > MOST:
        raise DataError(
            f"{name} has {train.characters:,} characters, and n-grams of at most {MOST:,} are counted; train gpt on it."
        )
    return train.text
