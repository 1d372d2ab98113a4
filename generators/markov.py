"""Markov models of characters or words: every next symbol from the few before it, counts smoothed by Kneser-Ney.

Unusual here: one class does two jobs, as the data asks. A running text teaches it to write text; a list of items
(names, words, titles) teaches it to invent more of them, each between a start symbol of its kind and an end symbol,
which is a line's end. Whatever it writes has a probability: `score` is exact, over the whole text.

Here are the choices of a fit and what a request comes to. The parts are in `generators/core`: `vocabulary` (text as
symbols), `kneser_ney` (the counts), `likelihood`, `writing` (running text) and `inventing` (items).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from generators.core.arrays import under
from generators.core.discounts import tuned_discounts
from generators.core.errors import CheckpointError, DataError
from generators.core.generator import ModelInfo, Splits, Texts
from generators.core.inventing import fingerprints
from generators.core.kneser_ney import UNKNOWN, Floats, Ints, KneserNey
from generators.core.likelihood import Likelihood, Speller
from generators.core.text_model import TextModel
from generators.core.vocabulary import Characters, Words

if TYPE_CHECKING:
    from generators.core.training import Run

LEVELS = {"char": "character", "character": "character", "word": "word", "auto": "auto"}
ORDERS = {"character": 7, "word": 4}  # on a running text
ITEM_ORDERS = range(3, 9)
NEAR_BEST = 1.01  # of the orders whose validation loss is within 1 %, the shortest: it copies least


@dataclass
class Config:
    """Options of a Markov model."""

    order: int = 0  # length of the n-grams, 1 to 10; 0: 7 characters or 4 words, for a list chosen on validation
    level: str = "auto"  # character, word, or auto: character
    max_mib: float = 0.0  # size that the model is pruned to, MiB; 0: no pruning
    tune: bool = True  # discounts tuned on a held-back piece of the training text, else from its counts of counts


class Markov(TextModel):
    """An n-gram model of text (`write_text`) or of a list of items (`invent_names`)."""

    family = "markov"
    kinds = frozenset({"markov"})
    budgeted = False  # counting is done when the data has been read: minutes and steps have no say in it
    Config = Config

    def __init__(self, info: ModelInfo, likelihood: Likelihood, known: Ints, lengths: Ints) -> None:
        """known: `fingerprints` of items that are not new. lengths: the longest item in symbols, then how many items
        there are of each kind."""
        self.info, self.likelihood, self.known, self.lengths = info, likelihood, known, lengths
        self.items, self.vocabulary = likelihood.items, likelihood.vocabulary
        self.tasks = frozenset(info.tasks)  # type: ignore[misc]

    @property
    def counts(self) -> KneserNey:
        """The n-grams."""
        return self.likelihood.counts

    @classmethod
    def fit(cls, splits: Splits[Texts], config: Any, run: Run) -> Self:
        """Count `splits.train`; a list's order is chosen on `splits.val`.

        Raises ValueError for options out of bounds, `DataError` for data without a character, `Cancelled`.
        """
        from generators.core.training import Event

        level = LEVELS.get(str(config.level).casefold().removesuffix("s"))
        if level is None:
            raise ValueError(f"The level {config.level!r} is unknown; it is character, word or auto.")
        if not 0 <= config.order <= 10:
            raise ValueError(f"An order of {config.order} is out of bounds; it is 1 to 10, or 0 for a fitting one.")
        if not config.max_mib >= 0:
            raise ValueError(f"max_mib is {config.max_mib}; it is a size in MiB, or 0 for a model that is not pruned.")
        if splits.train.blank:
            raise DataError(f"{splits.source.name} holds no text to learn from; give a file with some.")
        level = "character" if level == "auto" else level
        items = not splits.train.running
        orders = [config.order] if config.order else list(ITEM_ORDERS) if items and splits.val.text else [ORDERS[level]]
        losses: dict[int, float] = {}
        for order in orders if len(orders) > 1 else []:
            trial = cls._counted(splits, replace(config, order=order, level=level, tune=False), run)
            losses[order] = trial.score(splits.val)["nats_per_char"]
            tried = {"nats_per_char": losses[order]}
            run.tell(Event("val", step=len(losses), total=len(orders) + 1, figures=tried))
        near = [order for order, loss in losses.items() if loss <= NEAR_BEST * min(losses.values())] or orders
        return cls._counted(splits, replace(config, order=near[0], level=level), run)

    @classmethod
    def _counted(cls, splits: Splits[Texts], config: Any, run: Run) -> Self:
        """The model of one order."""
        train, items = splits.train, not splits.train.running
        vocabulary = _symbols(config.level).of([train.text + "\n" * items])
        size = len(vocabulary)
        info = ModelInfo.of(cls, splits, config, seed=run.seed)
        info.tasks = ["invent_names"] if items else ["write_text"]
        speller = Speller.fit(vocabulary.tokens) if vocabulary.by_word else None
        shares = np.bincount(train.labels, minlength=len(train.names)) if train.labels else np.asarray([len(train)])
        likelihood = Likelihood(vocabulary, KneserNey(size, len(shares), []), speller, items)
        sequence, longest = likelihood.sequence(train), 0
        if items:
            gaps = np.diff(np.append(np.flatnonzero(sequence >= size), len(sequence)))
            longest = int(gaps.max()) - 1
        else:
            sequence = np.append(size, sequence)
        # What is new is not in the data at all, so val and test count as known here; no probability knows of them.
        parts = (splits.train, splits.val, splits.test) if items else ()
        known = fingerprints(item for part in parts if part for item in part.items)
        model = cls(info, likelihood, known, np.asarray([longest, *shares], dtype=np.int64))
        options: dict[str, Any] = {
            "size": size,
            "starts": len(shares),
            "order": config.order,
            "unknown": None if speller is None else _unknown_share(sequence, size),
            "check": run.cancel.check,
        }
        limit = model._most_nodes(config.max_mib)
        discounts = tuned_discounts(sequence, items, options) if config.tune else None
        likelihood.counts = KneserNey.fit(sequence, max_nodes=limit, discounts=discounts, **options)
        info.parameters = model.counts.nodes
        return model

    def _most_nodes(self, mib: float) -> int:
        """How many counts fit into `mib` MiB beside the rest of the model; 0 for any number where `mib` is 0.

        Raises ValueError where not even the single symbols do.
        """
        if not mib:
            return 0
        size, starts = len(self.vocabulary), self.counts.starts
        rest = 1024 + sum(array.nbytes for array in self.state().values())  # 1024: discounts, headers
        width = 3 + (1 if size + starts <= 256 else 2 if size < 65_000 else 4)  # bytes a count
        if mib * 2**20 < rest + width * size:
            raise ValueError(f"max_mib is {mib}, but the vocabulary alone takes {rest / 2**20:.2f} MiB; allow more.")
        return max(int((mib * 2**20 - rest) / width), 1)

    def score(self, split: Texts) -> dict[str, float]:
        """`nats_per_char` over the whole split, exact, and `n`, the characters scored.

        Every symbol is predicted from up to order - 1 symbols before it, the first ones from fewer. An item's end
        counts as one character of it. Items without kinds, or of kinds this model lacks, are scored under the mixture
        of all kinds by their shares of the training items. A character never seen costs what the unknown symbol does.
        """
        if self.items and split.running:  # too few lines to look like the list that they are
            split = Texts(tuple(line.strip() for line in split.text.splitlines() if line.strip()))
        if not split.text:
            raise DataError("There is no text to score; give a file with some.")
        n = len(split.text) + self.items
        kinds = self.info.labels
        if self.items and kinds and not (split.labels and set(split.names) <= set(kinds)):
            shares = np.log(self.lengths[1:] / self.lengths[1:].sum())
            each = np.stack([self.likelihood.item_nats(split, k) for k in range(len(kinds))])
            nats = -np.logaddexp.reduce(shares[:, None] - each, axis=0).sum()
        else:
            if kinds and split.names != tuple(kinds):
                split = replace(split, labels=tuple(kinds.index(split.names[i]) for i in split.labels))
            nats = self.likelihood.nats(split).sum()
        return {"nats_per_char": float(nats / n), "n": float(n)}

    def card_notes(self) -> str:
        """What is particular to this model."""
        unit = f"{self.vocabulary.unit}s"
        pruned = f", pruned to {self.info.config['max_mib']} MiB" if self.info.config.get("max_mib") else ""
        notes = (
            f"Interpolated modified Kneser-Ney (Chen & Goodman 1999) over {unit}, order {self.counts.order}{pruned}; "
            f"{len(self.vocabulary) - 1:,} different {unit}. Its parameters are its counts."
        )
        if self.items:
            notes += " An item's end counts as one character in `nats_per_char`. Invented items are never in the data."
        return notes

    @property
    def predictor(self) -> KneserNey:
        """The counts predict."""
        return self.counts

    def spelling(self, text: str) -> Floats:
        """What an unknown word's spelling costs."""
        tokens = self.vocabulary.split(text)
        if self.likelihood.speller is None:
            return np.zeros(len(tokens))
        nats = self.likelihood.speller.nats(self.vocabulary.unknown(text))
        found = np.zeros(len(tokens))
        found[self.vocabulary.encode(text) == UNKNOWN] = nats
        return found

    def inner(self, symbols: Ints, start: int | None) -> dict[str, Any]:
        """How much of each symbol's probability the n-grams of each length give."""
        before = [] if start is None else [start]
        return {"orders": self.counts.shares(np.append(before, symbols))[:, len(before) :].astype(np.float32)}

    def share(self, item: str, kind: int) -> float:
        """How much of an item's likelihood, under every kind, is that of `kind`."""
        return self.likelihood.share(item, kind)

    # Checkpoints

    def state(self) -> dict[str, NDArray[Any]]:
        """The counts, the vocabulary, and of a list the hashes of its items."""
        found: dict[str, NDArray[Any]] = {
            **self.vocabulary.state(),
            "seen": self.known.astype(np.uint32),
            "lengths": self.lengths,
        }
        if self.counts.levels:
            found |= {f"counts.{name}": array for name, array in self.counts.state().items()}
        if self.likelihood.speller is not None:
            found |= self.likelihood.speller.state()
        return found

    @classmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        """The model back. Raises `CheckpointError` where the arrays do not fit."""
        try:
            vocabulary = _symbols(info.config["level"]).from_state(state)
            counts = KneserNey.from_state(under("counts.", state))
            speller = Speller.from_state(state) if "letters" in state else None
            lengths = state["lengths"].astype(np.int64)
            if counts.size != len(vocabulary) or len(lengths) != 1 + counts.starts:
                raise CheckpointError("Its vocabulary does not fit its counts; train the model again.")
            likelihood = Likelihood(vocabulary, counts, speller, items="invent_names" in info.tasks)
            return cls(info, likelihood, state["seen"].astype(np.int64), lengths)
        except (KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"{info.name}'s arrays do not fit together ({error}); train it again.") from error


def _symbols(level: str) -> type[Characters] | type[Words]:
    """What a text's symbols are."""
    return Words if level == "word" else Characters


def _unknown_share(sequence: Ints, size: int) -> float:
    """Order 0's probability of an unknown word: the share of the vocabulary that was seen once only."""
    once = np.count_nonzero(np.bincount(sequence, minlength=size) == 1)
    return float(min(max(once / size, 0.01), 0.99))
