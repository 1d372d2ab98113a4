"""Markov models of text: every next symbol from the few before it, counts smoothed by Kneser-Ney.

Unusual here: one class does two jobs, as the data asks. A running text teaches it to write text; a list of items
(names, words, titles) teaches it to invent more of them, each between a start symbol of its kind and an end symbol,
which is a line's end. Whatever it writes has a probability: `score` is exact, over the whole text. It is counted piece
by piece, goes on counting with more text (`refit`), and several models make one (`merged`).

Here are the choices of a fit and what a request comes to. The parts are in `generators/core`: `reading` (text as
symbols), `counting` and `kneser_ney` (the counts), `interpolation` (several counts as one), `likelihood`, `writing`
(running text), `inventing` (items), `batch_sampling` and `verbatim`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from generators.core.arrays import under
from generators.core.checkpoint import versions
from generators.core.counting import GramTable
from generators.core.discounts import parted, tune, tuned_discounts
from generators.core.errors import CheckpointError, DataError
from generators.core.generator import ModelInfo, Splits, Texts
from generators.core.inside import FOLLOWERS
from generators.core.interpolation import Counts, Interpolated, counts_from
from generators.core.inventing import fingerprints
from generators.core.kneser_ney import UNKNOWN, Floats, Ints, KneserNey
from generators.core.likelihood import Likelihood
from generators.core.reading import LEVELS, places, read, vocabulary_of
from generators.core.symbols import blocks
from generators.core.text_model import SAMPLE_WORDS, TextModel
from generators.core.verbatim import Hashes, NoVerbatim, stretch_hashes, token_values
from generators.core.vocabulary import Vocabulary
from generators.core.writing import Predictor

if TYPE_CHECKING:
    from generators.core.training import Run

ORDERS = {"character": 7, "word": 4, "byte": 7, "token": 4}  # on a running text
ITEM_ORDERS = range(3, 9)
NEAR_BEST = 1.01  # of the orders whose validation loss is within 1 %, the shortest: it copies least
LONGEST_COPIED = 500


@dataclass
class Config:
    """Options of a Markov model."""

    order: int = 0  # length of the n-grams, 1 to 10; 0: 7 characters or bytes, 4 words or tokens; of a list the best
    level: str = "auto"  # character, word, byte (of UTF-8), token (of byte-pair encoding), or auto: character
    tokens: int = 4000  # how many tokens there are at the level token, 256 to 32000
    max_mib: float = 0.0  # size that the model is pruned to, MiB; 0: no pruning
    tune: bool = True  # discounts tuned on a held-back piece of the training text, else from its counts of counts
    max_copied: int = 0  # longest run that may be copied from the training text, in symbols, 1 to 500; 0: any length

    def __post_init__(self) -> None:
        level = str(self.level).casefold().removesuffix("s")
        level = {"auto": "character", "char": "character"}.get(level, level)
        if level not in LEVELS:
            raise ValueError(f"The level {self.level!r} is unknown; it is {', '.join(LEVELS)} or auto.")
        self.level = level
        if not 0 <= self.order <= 10:
            raise ValueError(f"An order of {self.order} is out of bounds; it is 1 to 10, or 0 for a fitting one.")
        if not 256 <= self.tokens <= 32_000:
            raise ValueError(f"tokens is {self.tokens}; it must be from 256 to 32000.")
        if not (math.isfinite(self.max_mib) and self.max_mib >= 0):
            raise ValueError(f"max_mib is {self.max_mib}; it is a size in MiB, or 0 for a model that is not pruned.")
        if not 0 <= self.max_copied <= LONGEST_COPIED:
            raise ValueError(
                f"max_copied is {self.max_copied}; it is from 1 to {LONGEST_COPIED} symbols, or 0 for any number."
            )


class Markov(TextModel):
    """An n-gram model of text (`write_text`) or of a list of items (`invent_names`)."""

    family = "markov"
    kinds = frozenset({"markov"})
    budgeted = False  # counting is done when the data has been read: minutes and steps have no say in it
    refit_options: ClassVar[Mapping[str, Any]] = MappingProxyType({"max_mib": None})
    Config = Config

    def __init__(
        self, info: ModelInfo, likelihood: Likelihood, known: Ints, lengths: Ints, hashes: Hashes | None = None
    ) -> None:
        """known: `fingerprints` of items that are not new. lengths: the longest item in symbols, then how many items
        there are of each kind. hashes: of the stretches of text that are too long to be copied.
        """
        self.info, self.likelihood, self.known, self.lengths, self.hashes = info, likelihood, known, lengths, hashes
        self.items, self.vocabulary = likelihood.items, likelihood.vocabulary
        self.tasks = frozenset(info.tasks)  # type: ignore[misc]

    @property
    def counts(self) -> Counts:
        """The n-grams."""
        return self.likelihood.counts

    @classmethod
    def fit(cls, splits: Splits[Texts], config: Any, run: Run) -> Self:
        """Count `splits.train`; a list's order is chosen on `splits.val`.

        Raises ValueError for options out of bounds, `DataError` for data without a character, `Cancelled`.
        """
        from generators.core.training import Event

        train = splits.train
        if train.blank:
            raise DataError(f"{splits.source.name} holds no text to learn from; give a file with some.")
        items = not train.running
        if items and config.level not in ("character", "word"):
            raise ValueError(f"The level {config.level} is for running text; a list is learnt by character or word.")
        if items and config.max_copied:
            raise ValueError(f"max_copied is {config.max_copied}, but a list's items are never copied; leave it at 0.")
        orders = [config.order] if config.order else [ORDERS[config.level]]
        if items and splits.val.text and not config.order:
            orders = list(ITEM_ORDERS)
        losses: dict[int, float] = {}
        for order in orders if len(orders) > 1 else []:
            trial = cls._counted(splits, replace(config, order=order, tune=False), run)
            losses[order] = trial.score(splits.val)["nats_per_char"]
            tried = {"nats_per_char": losses[order]}
            run.tell(Event("val", step=len(losses), total=len(orders) + 1, figures=tried))
        near = [order for order, loss in losses.items() if loss <= NEAR_BEST * min(losses.values())] or orders
        return cls._counted(splits, replace(config, order=near[0]), run)

    def refit(self, splits: Splits[Texts], config: Any, run: Run) -> Self:
        """A model that counted `splits.train` too, with this one's discounts; see `Generator.refit`.

        Words and tokens that are new are unknown, as they are to this one; new characters are added. Raises ValueError
        for a pruned or merged model, `DataError` for a list after a running text, the reverse, or other kinds of items.
        """
        if splits.train.blank:
            raise DataError(f"{splits.source.name} holds no text to learn from; give a file with some.")
        if not isinstance(self.counts, KneserNey):
            raise ValueError(f"{self.info.name} was merged, so it cannot count more; go on from its parts.")
        if self.items == splits.train.running or list(splits.train.names) != self.info.labels:
            kinds = f"a list with the kinds {', '.join(self.info.labels)}" if self.info.labels else "a list of items"
            raise DataError(
                f"{splits.source.name} is of another sort than what {self.info.name} learnt from, which is "
                f"{kinds if self.items else 'a running text'}; leave --from out."
            )
        return self._counted(splits, config, run, base=self)

    @classmethod
    def _counted(cls, splits: Splits[Texts], config: Any, run: Run, base: Self | None = None) -> Self:
        """The model of one order."""
        train, items = splits.train, not splits.train.running
        vocabulary, sequence, counts = read(
            train, config.level, config.tokens, base.vocabulary if base else None, run.cancel.check
        )
        size, check = len(vocabulary), run.cancel.check
        info = ModelInfo.of(cls, splits, config, seed=run.seed)
        info.tasks = ["invent_names"] if items else ["write_text"]
        shares = np.bincount(train.labels, minlength=len(train.names)) if train.labels else np.asarray([len(train)])
        longest = 0
        if items:
            gaps = np.diff(np.append(np.flatnonzero(sequence >= size), len(sequence)))
            longest = int(gaps.max()) - 1
        # What is new is not in the data at all, so val and test count as known here; no probability knows of them.
        parts = (splits.train, splits.val, splits.test) if items else ()
        known = fingerprints(item for part in parts if part for item in part.items)
        hashes = None
        if config.max_copied:
            hashes = stretch_hashes(blocks(sequence), config.max_copied + 1, token_values(vocabulary.tokens))
        unknown = _unknown_share(counts, size) if vocabulary.by_word else None
        if base is None:
            table, discounts = GramTable(size, len(shares), config.order), None
            if config.tune and items:
                options = {"size": size, "starts": len(shares), "order": config.order, "unknown": unknown}
                discounts = tuned_discounts(sequence, True, options)
            elif config.tune:  # what is counted for it counts for the model too
                start, held_back = parted(sequence)
                table.add(blocks(sequence[:start]), check)
                sequence = sequence[start:]
                if held_back is not None:
                    discounts = tune(KneserNey.counted(table, unknown=unknown, check=check), held_back)
        else:
            table = base.counts.table(places(base.vocabulary, vocabulary), size)
            discounts = base.counts.discounts if config.tune else None
            unknown = base.counts.unknown if vocabulary.by_word else None
            shares, longest = shares + base.lengths[1:], max(longest, int(base.lengths[0]))
            known = np.union1d(known, base.known)
            hashes = None if hashes is None or base.hashes is None else np.union1d(hashes, base.hashes)
            info.note_base(base)
        table.add(blocks(sequence), check)
        table.end()
        if table.thinned:
            message = f"The text has so many different n-grams that the rarest are cut shorter than {config.order}."
            run.tell(run.event("note", 0, 0.0, message=message))
        likelihood = Likelihood(vocabulary, KneserNey(size, len(shares), []), items)
        model = cls(info, likelihood, known, np.asarray([longest, *shares], dtype=np.int64), hashes)
        limit = model._most_nodes(config.max_mib)
        likelihood.counts = KneserNey.counted(table, max_nodes=limit, unknown=unknown, discounts=discounts, check=check)
        info.parameters = model.counts.nodes
        return model

    @classmethod
    def merged(cls, models: Sequence[Self], weights: Sequence[float] | None = None) -> Self:
        """One model of several, whose probabilities are the weighted means of theirs (linear interpolation).

        weights: one a model, above 0, any sum; None: all alike. The models must be of one level, all of running text or
        all of lists with the same kinds. Raises ValueError for others, and for fewer than two.
        """
        shares, first = _mergeable(models, weights), models[0]
        vocabulary: Vocabulary = first.vocabulary
        if first.info.config["level"] not in ("byte", "token"):
            tokens = {token for model in models for token in model.vocabulary.tokens[1:]}
            vocabulary = type(vocabulary)(["", *sorted(tokens)])
        parts = [model.counts for model in models if isinstance(model.counts, KneserNey)]
        wider = [places(model.vocabulary, vocabulary) for model in models]
        counts = Interpolated(parts, wider, shares, len(vocabulary))
        stretches = [model.hashes for model in models if model.hashes is not None]
        hashes = np.unique(np.concatenate(stretches)) if stretches else None
        info = replace(
            first.info,
            name="",
            data=" and ".join(dict.fromkeys(model.info.data for model in models)),
            data_sha256="",
            licence=" and ".join(dict.fromkeys(model.info.licence for model in models)),
            parameters=counts.nodes,
            scores=[],
            config={**first.info.config, "order": counts.order, "max_mib": 0.0},
            versions=versions(),
            base={},
            training={},
        )
        lengths = np.stack([model.lengths for model in models])
        lengths = np.append(lengths[:, 0].max(), lengths[:, 1:].sum(0))
        items = np.unique(np.concatenate([model.known for model in models]))
        return cls(info, Likelihood(vocabulary, counts, first.items), items, lengths, hashes)

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
        of all kinds by their shares of the training items. A character never seen costs what the unknown symbol does;
        a token's text may be made of other tokens too, so at that level the likelihood is bounded from below.
        """
        if self.items:
            return self.list_score(split, self.likelihood.item_nats)
        n = split.characters
        if not n:
            raise DataError("There is no text to score; give a file with some.")
        nats = sum(float(some.sum()) for some in self.likelihood.text_nats(split))
        return {"nats_per_char": nats / n, "n": float(n)}

    def sample(self, count: int, *, label: str | None = None, seed: int = 0) -> dict[str, NDArray[Any]]:
        """See `TextModel.sample`: thousands at once, unless runs of the training text are barred."""
        from generators.core.batch_sampling import sampled_items, sampled_texts

        if self.hashes is not None:
            return super().sample(count, label=label, seed=seed)
        if self.items:
            return {"texts": sampled_items(self, self.counts, count, self._kind(label or "any"), seed)}
        return {"texts": sampled_texts(self, self.counts, count, SAMPLE_WORDS, seed)}

    def card_notes(self) -> str:
        """What is particular to this model."""
        unit = f"{self.vocabulary.unit}s"
        pruned = f", pruned to {self.info.config['max_mib']} MiB" if self.info.config.get("max_mib") else ""
        notes = (
            f"Interpolated modified Kneser-Ney (Chen & Goodman 1999) over {unit}, order {self.counts.order}{pruned}; "
            f"{len(self.vocabulary) - 1:,} different {unit}. Its parameters are its counts.{self.vocabulary.notes}"
        )
        if isinstance(self.counts, Interpolated):
            weights = " and ".join(f"{weight:.2f}" for weight in self.counts.weights)
            notes += f" It merges models with the weights {weights}."
        if self.items:
            notes += " An item's end counts as one character in `nats_per_char`. Invented items are never in the data."
        if self.hashes is not None:
            notes += (
                f" It copies no more than {self.info.config['max_copied']} {unit} in a row from its training text, "
                f"unless nothing else can follow."
            )
        return notes

    @property
    def predictor(self) -> Counts:
        """The counts predict."""
        return self.counts

    @cached_property
    def writing_predictor(self) -> Predictor:
        """The counts, kept from copying where that is limited."""
        if self.hashes is None:
            return self.counts
        return NoVerbatim(self.counts, self.hashes, self.info.config["max_copied"] + 1, self.vocabulary.tokens)

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
        """How much of each symbol's probability the n-grams of each length give, and the counts behind it."""
        before = [] if start is None else [start]
        read = np.append(before, symbols).astype(np.int64)
        counts, totals = (found[:, len(before) :] for found in self.counts.counted_at(read))
        followers = []
        for i in range(len(before), len(read)):
            length, found = self.counts.followed_by(read[:i].tolist(), FOLLOWERS)
            seen = "".join(self.vocabulary.tokens[s] for s in read[i - length : i] if s < len(self.vocabulary))
            followers.append((seen, [(self.vocabulary.tokens[symbol], count) for symbol, count in found]))
        orders = self.counts.shares(read)[:, len(before) :].astype(np.float32)
        return {"orders": orders, "counts": counts, "totals": totals, "followers": followers}

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
        if self.counts.nodes:
            found |= {f"counts.{name}": array for name, array in self.counts.state().items()}
        if self.hashes is not None:
            found["stretches"] = self.hashes
        return found

    @classmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        """The model back. Raises `CheckpointError` where the arrays do not fit."""
        try:
            vocabulary = vocabulary_of(info.config["level"]).from_state(state)
            counts = counts_from(under("counts.", state))
            lengths = state["lengths"].astype(np.int64)
            if counts.size != len(vocabulary) or len(lengths) != 1 + counts.starts:
                raise CheckpointError("Its vocabulary does not fit its counts; train the model again.")
            likelihood = Likelihood(vocabulary, counts, items="invent_names" in info.tasks)
            return cls(info, likelihood, state["seen"].astype(np.int64), lengths, state.get("stretches"))
        except (KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"{info.name}'s arrays do not fit together ({error}); train it again.") from error


def _mergeable(models: Sequence[Markov], weights: Sequence[float] | None) -> Floats:
    """The weights, which sum to 1. Raises ValueError where they or the models do not fit together."""
    if len(models) < 2:
        raise ValueError(f"Merging takes two models or more, not {len(models)}; name another one.")
    shares = np.ones(len(models)) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (len(models),) or not (np.isfinite(shares).all() and (shares > 0).all()):
        raise ValueError(f"The weights are {weights}; give {len(models)} numbers above 0, one a model.")
    first = models[0]
    for other in models:
        alike = [(one.info.config["level"], one.items, one.info.labels) for one in (first, other)]
        if alike[0] != alike[1]:
            raise ValueError(
                f"{other.info.name} cannot be merged with {first.info.name}: merge models of one level, all of running "
                f"text or all of lists with the same kinds."
            )
        if not isinstance(other.counts, KneserNey):
            raise ValueError(f"{other.info.name} is merged already; merge its parts and the others at once.")
        limits = [one.info.config.get("max_copied", 0) for one in (first, other)]
        if limits[0] != limits[1]:
            raise ValueError(
                f"max_copied is {limits[0]} in {first.info.name} and {limits[1]} in {other.info.name}; merge models "
                f"with the same limit."
            )
        if other.info.config["level"] == "token" and other.vocabulary.tokens != first.vocabulary.tokens:
            raise ValueError(f"{other.info.name} and {first.info.name} have other tokens; merge models of characters.")
    return shares / shares.sum()


def _unknown_share(counts: Ints, size: int) -> float:
    """Order 0's probability of an unknown word: the share of the vocabulary that was seen once only."""
    once = np.count_nonzero(counts[:size] == 1)
    return float(min(max(once / size, 0.01), 0.99))
