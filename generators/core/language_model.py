"""What the neural language models share: symbols as arrays, batches to train on, exact scores, one symbol at a time.

A family brings a network that maps symbols (B, T) and what it carries from the symbols before to logits of all symbols
(B, T, V) and what it carries on: keys and values (GPT) or hidden states (RNN). The first symbol is the unknown one; the
start symbols of a list's kinds come after the characters.

Unusual here: neither the unknown symbol nor a start symbol is ever predicted. The unknown one has a fixed share of the
probability, that of the characters seen once in the training text (Good 1953), so a score of text with new characters
is finite and fair.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from generators.core.arrays import net_arrays, packed, restore_net, unpacked
from generators.core.errors import CheckpointError, DataError
from generators.core.generator import ModelInfo, Splits, Texts
from generators.core.inventing import fingerprints
from generators.core.kneser_ney import UNKNOWN, Floats, Ints
from generators.core.symbols import stored
from generators.core.text_model import TextModel
from generators.core.training import Run, share, shuffled, train
from generators.core.vocabulary import Vocabulary

if TYPE_CHECKING:
    from accelerate import Accelerator

CHUNK = 1024  # symbols that a network of unbounded reach scores at once
WINDOWS = 64  # windows that one of bounded reach scores at once
VALIDATION = 10_000  # held-out symbols that choose between the checkpoints of a run
PADDING = -100  # a target that no loss is taken of


class Carrying(Protocol):
    """A network of symbols: (B, T) and what it carried -> logits (B, T, V), what it carries on."""

    def __call__(self, symbols: Tensor, carried: Any = None) -> tuple[Tensor, Any]: ...


@dataclass(frozen=True)
class State:
    """What a predictor knows of the symbols so far: the last ones, what the network carries, the next one's logits."""

    tail: tuple[int, ...]
    carried: Any
    logits: Tensor  # (V,)


class NetPredictor:
    """A network as a `generators.core.writing.Predictor` of `size` symbols. reach: those it sees at most, 0 for any."""

    def __init__(self, net: Carrying, size: int, reach: int, unknown: float) -> None:
        self.net, self.size, self.reach, self.unknown = net, size, reach, unknown

    @torch.inference_mode()
    def context(self, symbols: list[int]) -> State:
        """All of the symbols that the network can see, read at once; without any, the unknown one."""
        tail = tuple(symbols[-self.reach :] if self.reach else symbols) or (UNKNOWN,)
        logits, carried = self.net(torch.tensor([tail]))
        return State(tail if self.reach else (), carried, logits[0, -1])

    @torch.inference_mode()
    def extend(self, context: State, symbol: int) -> State:
        """One symbol more; where the network has seen all that it can, it reads the last half again."""
        tail = (*context.tail, symbol)
        if self.reach and len(tail) > self.reach:
            return self.context(list(tail[-self.reach // 2 :]))
        logits, carried = self.net(torch.tensor([[symbol]]), context.carried)
        return State(tail if self.reach else (), carried, logits[0, -1])

    def distribution(self, context: State, longest: int | None = None) -> Floats:
        """(size,) the next symbol's probabilities."""
        return probabilities(context.logits[: self.size], self.unknown).double().numpy()

    def knows(self, symbols: list[int]) -> bool:
        """It can tell what follows whatever symbols."""
        return True

    @torch.inference_mode()
    def familiarity(self, symbols: list[int]) -> float:
        """The mean log probability of the symbols after the first."""
        if len(symbols) < 2:
            return 0.0
        logits, _ = self.net(torch.tensor([symbols[:-1]]))
        losses = functional.cross_entropy(logits[0, :, 1 : self.size], torch.tensor(symbols[1:]) - 1)
        return -float(losses)

    @property
    def reversible(self) -> bool:
        """It has no `before`."""
        return False

    @property
    def lookbacks(self) -> tuple[None, None]:
        """It always sees all there is."""
        return (None, None)

    def before(self, symbols: list[int]) -> None:
        """It predicts forwards only."""
        return None

    def followers(self, symbol: int) -> None:
        """Any symbol may follow."""
        return None


def probabilities(logits: Tensor, unknown: float) -> Tensor:
    """Probabilities (..., size) of logits: the unknown symbol, the first, has the share `unknown`."""
    p = functional.softmax(logits.double()[..., 1:], -1) * (1 - unknown)
    return torch.cat([torch.full_like(p[..., :1], unknown), p], -1)


def unknown_share(counts: Ints) -> float:
    """The share of symbols that occur once only, at least of half a one: what a new symbol's turn is worth."""
    return max(int(np.count_nonzero(counts == 1)), 0.5) / max(int(counts.sum()), 1)


class LanguageModel(TextModel):
    """A network that predicts the next symbol. A family says how the network is built (`build`) and how far it sees."""

    kinds = frozenset({"neural"})
    net: nn.Module
    unknown: float

    def __init__(self, info: ModelInfo, vocabulary: Vocabulary, unknown: float, known: Ints, lengths: Ints) -> None:
        self.info, self.vocabulary, self.unknown = info, vocabulary, unknown
        self.known, self.lengths = known, lengths
        self.items = "invent_names" in info.tasks
        self.tasks = frozenset(info.tasks)  # type: ignore[misc]
        self.config = self.Config(**info.config)
        self.net = self.build(len(vocabulary) + len(lengths) - 1)

    @abstractmethod
    def build(self, symbols: int) -> nn.Module:
        """A new network of so many symbols."""

    @abstractmethod
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """What trains the network."""

    def stepper(self, val: Texts) -> LanguageStepper:
        """This model's side of the training loop, which chooses its weights on `val`."""
        return LanguageStepper(self, val)

    @property
    @abstractmethod
    def reach(self) -> int:
        """Symbols that the network sees at most, 0 for any number."""

    @property
    def predictor(self) -> NetPredictor:
        """The network predicts."""
        return NetPredictor(self.net, len(self.vocabulary), self.reach, self.unknown)

    def share(self, item: str, kind: int) -> float:
        """How much of an item's likelihood, under every kind, is that of `kind`."""
        nats = np.asarray([self._item_nats(Texts((item,)), k)[0] for k in range(len(self.lengths) - 1)])
        return float(np.exp(-nats[kind] - np.logaddexp.reduce(-nats)))

    @classmethod
    def fit(cls, splits: Splits[Texts], config: Any, run: Run) -> Self:
        """Train on `splits.train` within the run's budget; see `Generator.fit`.

        Raises ValueError for options out of bounds, `DataError` for data without text, `Cancelled`.
        """
        if splits.train.blank:
            raise DataError(f"{splits.source.name} holds no text to learn from; give a file with some.")
        items = not splits.train.running
        vocabulary = Vocabulary.of(chain(splits.train.pieces(), "\n" * items), by_word=False)
        encoded = map(vocabulary.encode, chain(splits.train.pieces(), "\n" * items))
        symbols, counts = stored(encoded, len(vocabulary), run.cancel.check)
        info = ModelInfo.of(cls, splits, config, seed=run.seed)
        info.tasks = ["invent_names"] if items else ["write_text"]
        labels, names = splits.train.labels, splits.train.names
        shares = np.bincount(labels, minlength=len(names)) if labels else np.asarray([len(splits.train)])
        longest = max((len(item) for item in splits.train.items), default=0) if items else 0
        parts = (splits.train, splits.val, splits.test) if items else ()
        known = fingerprints(item for part in parts if part for item in part.items)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)  # torch's initialisers know only the global generator
            model = cls(info, vocabulary, unknown_share(counts), known, np.asarray([longest, *shares], np.int64))
        info.parameters = sum(tensor.numel() for tensor in model.net.parameters())
        stepper = model.stepper(splits.val)
        identity = {**info.config, "data_sha256": splits.source.sha256, "characters": len(symbols)}
        batches = model.batches(splits.train, symbols, run.seed)
        model.trained = train(stepper, batches, run, identity=identity)
        model.net.eval().requires_grad_(False)
        for tensor in model.net.parameters():
            tensor.copy_(tensor.half())  # as it will be stored, so that it scores the same before and after
        return model

    def batches(self, texts: Texts, symbols: NDArray[Any], seed: int) -> Callable[[int], Tensor]:
        """This process's part of a step's batch, (B, T + 1) symbols: what is read and, one further, what is predicted.

        Of a running text, pieces of its `symbols` (N,) that begin anywhere; of a list, items between their start
        symbols and their ends, filled up with the start symbol, which is never predicted. Raises `DataError` for a
        text of one symbol.
        """
        mine = share(self.config.batch)
        if self.items:
            rows = self._rows(texts)
            order = shuffled(len(rows), self.config.batch, seed)
            return lambda step: _padded([rows[i] for i in order(step)[mine]])
        if len(symbols) < 2:
            raise DataError("One character is too little to learn from; give a longer text.")
        places = self.places(len(symbols), min(self.config.context, len(symbols) - 1), seed)
        return lambda step: torch.from_numpy(symbols[places(step)[mine]].astype(np.int64))

    def places(self, total: int, length: int, seed: int) -> Callable[[int], Ints]:
        """Where the pieces of a step lie among `total` symbols, (batch, length + 1): they begin anywhere."""

        def drawn(step: int) -> Ints:
            starts: Ints = np.random.default_rng([seed, step]).integers(0, total - length, self.config.batch)
            return starts[:, None] + np.arange(length + 1)

        return drawn

    def _rows(self, texts: Texts, kind: int | None = None, whole: bool = False) -> list[Ints]:
        """A list's items as symbols: the start symbol of its kind (or of `kind`), the item, its line's end.

        Cut to what is trained on at once, unless `whole`.
        """
        size, end = len(self.vocabulary), self.vocabulary.symbols["\n"]
        most = None if whole else self.config.context + 1
        kinds = texts.labels or (0,) * len(texts)
        return [
            np.concatenate([[size + (y if kind is None else kind)], self.vocabulary.encode(item), [end]])[:most]
            for item, y in zip(texts.items, kinds, strict=True)
        ]

    @torch.inference_mode()
    def nats(self, symbols: NDArray[Any]) -> Iterator[Floats]:
        """The nats of every symbol of a sequence (N,) but the first, from those before it: in order, some at a time.

        Of a network with bounded reach in windows that overlap by half, so each symbol but the first half window's is
        predicted from at least half a window.
        """
        n, reach = len(symbols) - 1, self.reach
        device = next(self.net.parameters()).device

        def tokens(start: int, stop: int) -> Tensor:
            return torch.from_numpy(symbols[start : stop + 1].astype(np.int64)).to(device)

        if not reach:
            carried = None
            for start in range(0, n, CHUNK):
                part = tokens(start, start + CHUNK)
                logits, carried = self.net(part[None, :-1], carried)
                yield self._losses(logits, part[None, 1:])[0].cpu().numpy()
            return
        half, done = reach // 2, 0
        for start in range(0, n - reach + 1, WINDOWS * half):
            part = tokens(start, min(start + (WINDOWS - 1) * half + reach, n))
            windows, targets = part[:-1].unfold(0, reach, half), part[1:].unfold(0, reach, half)  # (K, reach)
            losses = self._losses(self.net(windows)[0], targets).cpu().numpy()
            found = losses[:, reach - half :].flatten()
            found = found if start else np.concatenate([losses[0, : reach - half], found])
            done += len(found)
            yield found
        if done < n:
            part = tokens(max(n - reach, 0), n)
            yield self._losses(self.net(part[None, :-1])[0], part[None, 1:])[0, done - n :].cpu().numpy()

    def _losses(self, logits: Tensor, said: Tensor) -> Tensor:
        """Nats (B, T) in double precision of symbols (B, T) under logits (B, T, V)."""
        losses = functional.cross_entropy(
            logits.float()[..., 1 : len(self.vocabulary)].transpose(1, 2), (said - 1).clamp_min(0), reduction="none"
        ).double()
        known = losses - math.log1p(-self.unknown)
        return torch.where(said == UNKNOWN, -math.log(self.unknown), known)

    def _item_nats(self, texts: Texts, kind: int | None = None) -> Floats:
        """(N,) nats of every item, from its start symbol (that of `kind`) to its line's end."""
        rows = self._rows(texts, kind, whole=True)
        found = np.zeros(len(rows))
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for start in range(0, len(order), 256):
            places = order[start : start + 256]
            if self.reach and len(rows[places[-1]]) > self.reach + 1:
                for i in places:
                    found[i] = _total(self.nats(rows[i]))
                continue
            with torch.inference_mode():
                batch = _padded([rows[i] for i in places]).to(next(self.net.parameters()).device)
                said = batch[:, 1:]
                losses = self._losses(self.net(batch[:, :-1])[0], said.clamp_max(len(self.vocabulary) - 1))
                found[places] = (losses * (said < len(self.vocabulary))).sum(1).cpu().numpy()
        return found

    def score(self, split: Texts) -> dict[str, float]:
        """`nats_per_char` over the whole split, exact, and `n`, the characters scored; see `nats`.

        The first character of a running text is predicted from nothing. An item's end counts as one character of it.
        Items without kinds, or of kinds this model lacks, are scored under the mixture of all kinds by their shares of
        the training items.
        """
        if self.items and split.running:  # too few lines to look like the list that they are
            split = Texts(tuple(line.strip() for line in split.text.splitlines() if line.strip()))
        if not split.characters:
            raise DataError("There is no text to score; give a file with some.")
        n, kinds = split.characters + self.items, self.info.labels
        if not self.items:
            encoded = map(self.vocabulary.encode, split.pieces())
            symbols, _ = stored(chain([np.asarray([UNKNOWN])], encoded), len(self.vocabulary))
            total = _total(self.nats(symbols))
        elif kinds and not (split.labels and set(split.names) <= set(kinds)):
            shares = np.log(self.lengths[1:] / self.lengths[1:].sum())
            each = np.stack([self._item_nats(split, k) for k in range(len(kinds))])
            total = -np.logaddexp.reduce(shares[:, None] - each, axis=0).sum()
        else:
            if kinds and split.names != tuple(kinds):
                split = replace(split, labels=tuple(kinds.index(split.names[i]) for i in split.labels))
            total = self._item_nats(split).sum()
        return {"nats_per_char": float(total / n), "n": float(n)}

    def state(self) -> dict[str, NDArray[Any]]:
        """The weights, the vocabulary, and of a list the hashes of its items."""
        return {
            "tokens": packed(self.vocabulary.tokens),
            "unknown": np.asarray([self.unknown]),
            "seen": self.known.astype(np.uint32),
            "lengths": self.lengths,
            **net_arrays(self.net),
        }

    @classmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        """The model back. Raises `CheckpointError` where the arrays do not fit."""
        try:
            vocabulary = Vocabulary(unpacked(state["tokens"]), by_word=False)
            model = cls(info, vocabulary, float(state["unknown"][0]), state["seen"].astype(np.int64), state["lengths"])
            restore_net(model.net, state)
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            raise CheckpointError(f"The weights of {info.name} do not fit its config.json; train it again.") from error
        return model


class LanguageStepper:
    """A language model's side of the training loop."""

    def __init__(self, model: LanguageModel, val: Texts) -> None:
        self.model = model
        self.modules: dict[str, nn.Module] = {"net": model.net}
        self.optimizers = model.optimizers()
        self.val = val.head(VALIDATION)

    def step(self, batch: Tensor, i: int, accelerator: Accelerator) -> dict[str, float]:
        batch = batch.to(accelerator.device)
        said = batch[:, 1:]
        size = len(self.model.vocabulary)
        logits = self.read(batch[:, :-1], accelerator)
        targets = torch.where((said == UNKNOWN) | (said >= size), PADDING, said)
        loss = functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=PADDING)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(self.modules["net"].parameters(), self.model.config.clip)
        for optimizer in self.optimizers.values():
            optimizer.step()
        return {"nats_per_symbol": loss.item(), "gradient_norm": float(norm or 0)}

    def read(self, symbols: Tensor, accelerator: Accelerator) -> Tensor:
        """The logits (B, T, V) of a step's symbols (B, T)."""
        logits: Tensor = self.modules["net"](symbols)[0]
        return logits

    def validate(self) -> dict[str, float]:
        return {"nats_per_char": self.model.score(self.val)["nats_per_char"]}


def _total(parts: Iterator[Floats]) -> float:
    """The sum of all parts, a thousand in memory at once."""
    return sum(float(np.concatenate(some).sum()) for some in iter(lambda: list(islice(parts, 1000)), []))


def _padded(rows: list[Ints]) -> Tensor:
    """Rows of symbols, each filled up with its own start symbol: (B, T) int64."""
    longest = max(len(row) for row in rows)
    filled = np.stack([np.concatenate([row, np.full(longest - len(row), row[0])]) for row in rows])
    return torch.from_numpy(filled)
