"""What the neural language models share: symbols as arrays, batches to train on, exact scores, one symbol at a time.

A family brings a network that maps symbols (B, T) and what it carries from the symbols before to logits of all symbols
(B, T, V) and what it carries on: keys and values (GPT) or hidden states (RNN). The first symbol is the unknown one; the
start symbols of a list's kinds come after the characters or, of a running text, the tokens of byte-pair encoding.

Unusual here: neither the unknown symbol nor a start symbol is ever predicted. The unknown one has a fixed share of the
probability, that of the characters seen once in the training text (Good 1953), so a score of text with new characters
is finite and fair.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from generators.core.arrays import as_stored, net_arrays, restore_net
from generators.core.bpe import BPE
from generators.core.errors import CheckpointError, DataError
from generators.core.finetuning import check_start, start_from
from generators.core.generator import ModelInfo, Splits, Texts
from generators.core.inventing import fingerprints
from generators.core.kneser_ney import UNKNOWN, Floats, Ints
from generators.core.lora import LowRank
from generators.core.net_predictor import NetPredictor
from generators.core.symbols import stored
from generators.core.text_model import TextModel
from generators.core.training import Run, share, shuffled, train
from generators.core.vocabulary import Characters, Vocabulary

if TYPE_CHECKING:
    from accelerate import Accelerator

CHUNK = 1024  # symbols that a network of unbounded reach scores at once
WINDOWS, CELLS = 64, 20_000_000  # windows that one of bounded reach scores at once at most, and their logits
VALIDATION = 10_000  # held-out symbols that choose between the checkpoints of a run
PADDING = -100  # a target that no loss is taken of


def unknown_share(counts: Ints, vocabulary: Vocabulary) -> float:
    """The share of symbols that are characters seen once, of half a one at least, half of all at most: what a new one's
    turn is worth."""
    once = sum(len(vocabulary.tokens[symbol]) == 1 for symbol in np.flatnonzero(counts == 1))
    return min(max(once, 0.5) / max(int(counts.sum()), 1), 0.5)


class LanguageModel(TextModel):
    """A network that predicts the next symbol. A family says how the network is built (`build`) and how far it sees.

    inside: the name of the network's part whose matrices may get low-rank updates; tables: the names of its tensors
    that have a row a symbol.
    """

    kinds = frozenset({"neural"})
    end: ClassVar[str] = "\n"  # the character whose symbol ends an item
    refit_options: ClassVar[Mapping[str, Any]] = {
        "batch": None,
        "dropout": None,
        "learning_rate": 3e-3,
        "matrix_rate": 5e-3,
        "lora": 0,
    }
    inside: ClassVar[str]
    tables: ClassVar[tuple[str, ...]]
    net: nn.Module
    unknown: float

    def __init__(self, info: ModelInfo, vocabulary: Vocabulary, unknown: float, known: Ints, lengths: Ints) -> None:
        self.info, self.vocabulary, self.unknown = info, vocabulary, unknown
        self.known, self.lengths = known, lengths
        self.items = "write_text" not in info.tasks
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

    @classmethod
    def taught(cls, items: bool) -> list[str]:
        """The tasks that a list of items teaches, or else a running text."""
        return ["invent_names"] if items else ["write_text"]

    @property
    @abstractmethod
    def reach(self) -> int:
        """Symbols that the network sees at most, 0 for any number."""

    def workings(self, read: Tensor) -> dict[str, Any]:
        """What is particular to the network as it reads symbols (T,): the fields of `Inside` that it has."""
        return {}

    @torch.inference_mode()
    def inner(self, symbols: Ints, start: int | None) -> dict[str, Any]:
        """The network's `workings`."""
        return self.workings(torch.tensor([UNKNOWN if start is None else start, *symbols[:-1].tolist()]))

    @property
    def predictor(self) -> NetPredictor:
        """The network predicts."""
        return NetPredictor(self.net, len(self.vocabulary), self.reach, self.unknown)

    def share(self, item: str, kind: int) -> float:
        """How much of an item's likelihood, under every kind, is that of `kind`."""
        nats = np.asarray([self._item_nats(Texts((item,)), k)[0] for k in range(len(self.lengths) - 1)])
        return float(np.exp(-nats[kind] - np.logaddexp.reduce(-nats)))

    def refit(self, splits: Splits[Texts], config: Any, run: Run) -> Self:
        """See `Generator.refit`. Raises `DataError` too for a list after a running text, and the reverse."""
        return self.fit(splits, self.refit_config(**asdict(config)), run, self)

    @classmethod
    def fit(cls, splits: Splits[Texts], config: Any, run: Run, base: Self | None = None) -> Self:
        """Train on `splits.train` within the run's budget, from `base` on where there is one; see `Generator.fit`.

        Raises ValueError for options out of bounds, `DataError` for data without text, `Cancelled`.
        """
        if base is not None:
            check_start(base, splits)
        elif config.lora:
            raise ValueError(f"lora is {config.lora}, which only serves to go on from a model: give --from NAME too.")
        if splits.train.blank:
            raise DataError(f"{splits.source.name} holds no text to learn from; give a file with some.")
        items = not splits.train.running
        if config.tokens and items:
            raise ValueError(f"tokens is {config.tokens}, but a list is learnt by its characters; leave tokens at 0.")
        if base is not None:
            vocabulary: Vocabulary = base.vocabulary.extended(cls.pieces(splits.train))
        elif config.tokens:
            vocabulary = BPE.of(cls.pieces(splits.train), config.tokens)
        else:
            vocabulary = Characters.of(cls.pieces(splits.train))
        encoded = vocabulary.encode_all(cls.pieces(splits.train))
        symbols, counts = stored(encoded, len(vocabulary), run.cancel.check)
        info = ModelInfo.of(cls, splits, config, seed=run.seed)
        info.tasks = cls.taught(items)
        labels, names = splits.train.labels, splits.train.names
        shares = np.bincount(labels, minlength=len(names)) if labels else np.asarray([len(splits.train)])
        longest = max((len(item) for item in splits.train.items), default=0) if items else 0
        parts = (splits.train, splits.val, splits.test) if items else ()
        known = fingerprints(item for part in parts if part for item in part.items)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)  # torch's initialisers know only the global generator
            unknown = unknown_share(counts, vocabulary)
            model = cls(info, vocabulary, unknown, known, np.asarray([longest, *shares], np.int64))
        info.parameters = sum(tensor.numel() for tensor in model.net.parameters())
        identity = {"family": cls.family, **info.config, "data_sha256": splits.source.sha256, "symbols": len(symbols)}
        if base is not None:
            start_from(base, model, run.seed)
            identity["base_sha256"] = base.weights_sha256
        stepper, batches = model.stepper(splits.val), model.batches(splits.train, symbols, run.seed)
        model.trained = train(stepper, batches, run, identity=identity, start_counts=base is not None)
        if isinstance(model.net, LowRank):
            model.net = model.net.merged()
        as_stored(model.net, small=True)
        return model

    @classmethod
    def pieces(cls, texts: Texts) -> Iterator[str]:
        """What it learns from, piece by piece; a list's items with their ends."""
        return texts.pieces() if texts.running else (item + cls.end for item in texts.items)

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
        """A list's items as symbols: the start symbol of its kind (or of `kind`), the item, its end.

        Cut to what is trained on at once, unless `whole`.
        """
        size, end = len(self.vocabulary), self.vocabulary.symbols[self.end]
        most = None if whole else self.config.context + 1
        kinds = texts.labels or (0,) * len(texts)
        return [
            np.concatenate([[size + (y if kind is None else kind)], self.vocabulary.encode(item), [end]])[:most]
            for item, y in zip(texts.items, kinds, strict=True)
        ]

    def nats(self, symbols: NDArray[Any]) -> Iterator[Floats]:
        """The nats of every symbol of a sequence (N,) but the first, from those before it: in order, some at a time."""
        done = 1
        for logits in self.foresee(symbols):
            said = torch.from_numpy(symbols[done : done + len(logits)].astype(np.int64)).to(logits.device)
            yield self._losses(logits, said).cpu().numpy()
            done += len(logits)

    @torch.inference_mode()
    def foresee(self, symbols: NDArray[Any]) -> Iterator[Tensor]:
        """The logits (M, V) of every symbol of a sequence (N,) but the first, by those before it: in order, some at a
        time.

        Of a network with bounded reach in windows that overlap by half, so each symbol but the first half window's is
        predicted from at least half a window.
        """
        n, reach = len(symbols) - 1, self.reach
        device = next(self.net.parameters()).device

        def tokens(start: int, stop: int) -> Tensor:
            return torch.from_numpy(symbols[start:stop].astype(np.int64)).to(device)

        if not reach:
            carried = None
            for start in range(0, n, CHUNK):
                logits, carried = self.net(tokens(start, min(start + CHUNK, n))[None], carried)
                yield logits[0]
            return
        half, done = reach // 2, 0
        many = min(max(CELLS // (reach * len(self.vocabulary)), 1), WINDOWS)
        for start in range(0, n - reach + 1, many * half):
            windows = tokens(start, min(start + (many - 1) * half + reach, n)).unfold(0, reach, half)  # (K, reach)
            logits = self.net(windows)[0]
            found = logits[:, reach - half :].flatten(0, 1)
            found = found if start else torch.cat([logits[0, : reach - half], found])
            done += len(found)
            yield found
        if done < n:
            yield self.net(tokens(max(n - reach, 0), n)[None])[0][0, done - n :]

    def _losses(self, logits: Tensor, said: Tensor) -> Tensor:
        """Nats (...) in double precision of symbols (...) under logits (..., V)."""
        flat = logits.float()[..., 1 : len(self.vocabulary)].flatten(0, -2)
        losses = functional.cross_entropy(flat, (said - 1).clamp_min(0).flatten(), reduction="none").double()
        known = losses.view_as(said) - math.log1p(-self.unknown)
        return torch.where(said == UNKNOWN, -math.log(self.unknown), known)

    def _item_nats(self, texts: Texts, kind: int | None = None) -> Floats:
        """(N,) nats of every item, from its start symbol (that of `kind`) to its end."""
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
        the training items. Of byte-pair encoding, the nats are those of the tokens that the text is encoded as; other
        tokens make the same text too, so they bound its likelihood from below.
        """
        if self.items:
            return self.list_score(split, self._item_nats)
        n = split.characters
        if not n:
            raise DataError("There is no text to score; give a file with some.")
        encoded = self.vocabulary.encode_all(split.pieces())
        symbols, _ = stored(chain([np.asarray([UNKNOWN])], encoded), len(self.vocabulary))
        return {"nats_per_char": _total(self.nats(symbols)) / n, "n": float(n)}

    def state(self) -> dict[str, NDArray[Any]]:
        """The weights, the vocabulary, and of a list the hashes of its items."""
        return {
            **self.vocabulary.state(),
            "unknown": np.asarray([self.unknown]),
            "seen": self.known.astype(np.uint32),
            "lengths": self.lengths,
            **net_arrays(self.net, small=True),
        }

    @classmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        """The model back. Raises `CheckpointError` where the arrays do not fit."""
        try:
            vocabulary = (BPE if "merges" in state else Characters).from_state(state)
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
        if isinstance(model.net, LowRank):
            self.optimizers = model.net.optimizers(model.config.learning_rate)
        else:
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
        self.model.net.eval()  # no dropout
        figures = {"nats_per_char": self.model.score(self.val)["nats_per_char"]}
        self.model.net.train()
        return figures


def _total(parts: Iterator[Floats]) -> float:
    """The sum of all parts, a thousand in memory at once."""
    return sum(float(np.concatenate(some).sum()) for some in iter(lambda: list(islice(parts, 1000)), []))


def _padded(rows: list[Ints]) -> Tensor:
    """Rows of symbols, each filled up with its own start symbol: (B, T) int64."""
    longest = max(len(row) for row in rows)
    filled = np.stack([np.concatenate([row, np.full(longest - len(row), row[0])]) for row in rows])
    return torch.from_numpy(filled)
