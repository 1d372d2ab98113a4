"""Hidden Markov models of words or characters: each is emitted by a state, and the state moves on by chance.

Of a running text, words are the symbols, so that states become kinds of words one can read: articles, verbs of speech,
names. A list of items (names, words, titles) is learnt by its characters. `generators.core.baum_welch` trains them.

Unusual here: each state's emissions are drawn to the whole text's shares by a Dirichlet prior, so no word is impossible
anywhere, and they are stored as what a state has beyond a share of those, which is little.

The estimators for sequences of any kind are `CategoricalHMM` and `GaussianHMM`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from generators.core.baum_welch import BaumWelch, Parameters, Sequences, item_symbols
from generators.core.bounds import check_options
from generators.core.errors import CheckpointError, DataError
from generators.core.forward_backward import log_likelihoods
from generators.core.gaussian_hmm import GaussianHMM
from generators.core.generator import ModelInfo, Splits, Texts
from generators.core.hidden_markov import CategoricalHMM, FallingLikelihood
from generators.core.inventing import fingerprints
from generators.core.kneser_ney import UNKNOWN, Floats, Ints
from generators.core.likelihood import Speller
from generators.core.state_predictor import StatePredictor
from generators.core.text_model import TextModel
from generators.core.training import Run, train
from generators.core.vocabulary import Characters, Vocabulary, Words

__all__ = ["HMM", "CategoricalHMM", "Config", "FallingLikelihood", "GaussianHMM"]

LEVELS = {"char": "character", "character": "character", "word": "word", "auto": "auto"}
VALIDATION = 100_000  # held-out characters that choose between the checkpoints of a run
NAMED, TELLING = 3, 12  # words in a state's name, and of a state that a card tells
NAMING = 0.01  # a word's probability where it is one of a state's name
LEAST = 2e-3  # what a state has of a symbol beyond the text's share is stored where it is so much of all there is,
EACH = 20  # and for so many states a symbol, in the mean, at most
STEP = 1 / 12  # nats: to these a stored probability's logarithm is rounded
REST = 1e-4  # of a state's probability is spread as the text's shares at least


@dataclass
class Config:
    """Options of a hidden Markov model."""

    states: int = 64  # 2 to 512
    level: str = "auto"  # word, character, or auto: word of a running text, character of a list
    words: int = 10_000  # different ones at most, the most usual; others are spelt out, 100 to 60000
    length: int = 250  # symbols of a running text that make one sequence, 8 to 100000
    batch: int = 0  # sequences a step, over all processes, to 65536; 0: all of them, which is plain EM
    prior: float = 150.0  # pseudo-observations of each state, spread as the whole text's are, 0.001 to 1000000

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float, float]] = {
            "states": (2, 512),
            "words": (100, 60_000),
            "length": (8, 100_000),
            "batch": (0, 65_536),
            "prior": (1e-3, 1e6),
        }
        check_options(self, bounds)
        if str(self.level).casefold().removesuffix("s") not in LEVELS:
            raise ValueError(f"The level {self.level!r} is unknown; it is word, character or auto.")


class HMM(TextModel):
    """A hidden Markov model of text (`write_text`) or of a list of items (`invent_names`)."""

    family = "hmm"
    kinds = frozenset({"markov"})
    Config = Config

    def __init__(
        self,
        info: ModelInfo,
        vocabulary: Vocabulary,
        shares: Floats,
        net: Parameters,
        known: Ints,
        lengths: Ints,
    ) -> None:
        """shares: (V,) of the symbols in the training text. known, lengths: see `TextModel`."""
        self.info, self.vocabulary, self.shares, self.net = info, vocabulary, shares, net
        self.known, self.lengths = known, lengths
        self.compact: dict[str, NDArray[Any]] = {}  # what `net` was made from, once it is trained
        self.items = "write_text" not in info.tasks
        self.tasks = frozenset(info.tasks)  # type: ignore[misc]

    @classmethod
    def fit(cls, splits: Splits[Texts], config: Any, run: Run) -> Self:
        """Train on `splits.train` within the run's budget; see `Generator.fit`.

        Raises ValueError for options out of bounds, `DataError` for data without text, `FallingLikelihood`, and
        `Cancelled`.
        """
        texts, items = splits.train, not splits.train.running
        if texts.blank:
            raise DataError(f"{splits.source.name} holds no text to learn from; give a file with some.")
        level = LEVELS[str(config.level).casefold().removesuffix("s")]
        if level == "word" and items:
            raise ValueError("level is word, but a list is learnt by its characters; leave level at auto.")
        level = ("character" if items else "word") if level == "auto" else level
        pieces = [item + "\n" for item in texts.items] if items else texts.items
        vocabulary = Words.of(pieces, config.words) if level == "word" else Characters.of(pieces)
        info = ModelInfo.of(cls, splits, replace(config, level=level), seed=run.seed)
        info.tasks = ["invent_names"] if items else ["write_text"]
        kinds = np.bincount(texts.labels, minlength=len(texts.names)) if texts.labels else np.asarray([len(texts)])
        parts = (splits.train, splits.val, splits.test) if items else ()
        known = fingerprints(item for part in parts if part for item in part.items)
        longest = max((len(item) for item in texts.items), default=0) if items else 0
        sequences = Sequences.of(texts, vocabulary, config.length, run.cancel.check)
        counts = sequences.counts(len(vocabulary))
        shares = _shares(counts)
        net = Parameters.random(config.states, shares, kinds if items else kinds[:0], run.seed)
        lengths = np.asarray([longest, *kinds], np.int64)
        model = cls(info, vocabulary, shares, net, known, lengths)
        held_out = splits.val.head(VALIDATION)
        stepper = BaumWelch(
            net,
            sequences,
            batch=config.batch,
            prior=config.prior,
            shares=shares,
            judge=None if held_out.blank else lambda: {"nats_per_char": model.score(held_out)["nats_per_char"]},
        )
        identity = {"family": cls.family, **info.config, "data_sha256": splits.source.sha256}
        model.trained = train(stepper, stepper.batches(run.seed), run, identity=identity, ema_gamma=math.inf)
        if not counts[UNKNOWN]:  # nothing could be learnt of it: wherever it comes, it is as likely
            own = net.emissions[: config.states]
            own[:, UNKNOWN] = 0.0
            own *= (1 - shares[UNKNOWN]) / own.sum(1, keepdim=True)
            own[:, UNKNOWN] = shares[UNKNOWN]
        model.compact = _compact(net, shares, model.usage())
        model.net = _restored(model.compact, shares)
        moves = len(net.start) * (len(net.start) - 1)
        info.parameters = int(len(net.start) - 1 + moves + len(model.compact["excess"]))
        return model

    @cached_property
    def speller(self) -> Speller | None:
        """How words that are unknown are spelt, from those that are known; None where symbols are no words."""
        return Speller.fit(self.vocabulary.tokens) if self.vocabulary.by_word else None

    @property
    def predictor(self) -> StatePredictor:
        """The states predict."""
        return StatePredictor(self.net, len(self.vocabulary))

    def spelling(self, text: str) -> Floats:
        """What an unknown word's spelling costs."""
        found = np.zeros(len(self.vocabulary.split(text)))
        if self.speller is not None:
            found[self.vocabulary.encode(text) == UNKNOWN] = self.speller.nats(self.vocabulary.unknown(text))
        return found

    def share(self, item: str, kind: int) -> float:
        """How much of an item's likelihood, under every kind, is that of `kind`."""
        nats = np.asarray([self._item_nats(Texts((item,)), k)[0] for k in range(len(self.lengths) - 1)])
        return float(np.exp(-nats[kind] - np.logaddexp.reduce(-nats)))

    def _item_nats(self, texts: Texts, kind: int | None = None) -> Floats:
        """(N,) nats of every item, given its kind or as one of `kind`."""
        kinds = texts.labels or (0,) * len(texts)
        given = [own if kind is None else kind for own in kinds]
        rows = [item_symbols(self.vocabulary, item, k) for item, k in zip(texts.items, given, strict=True)]
        nats = -self._likelihoods(np.concatenate(rows), np.asarray([len(row) for row in rows]))
        firsts = self.net.start.cpu().numpy()[-(len(self.lengths) - 1) :]
        return np.asarray(nats + np.log(firsts[given]))

    def _likelihoods(self, symbols: Ints, lengths: Ints) -> Floats:
        """(N,) log-likelihoods of sequences of symbols, one after the other."""
        found = np.empty(len(lengths))
        chain = self.net.chain()
        for block in self.net.blocks(symbols, lengths):
            found[block.rows.numpy()] = log_likelihoods(chain, block.to(self.net.start.device)).cpu().numpy()
        return found

    def score(self, split: Texts) -> dict[str, float]:
        """`nats_per_char` over the whole split, exact, and `n`, the characters scored.

        A running text is one sequence: each word is predicted from all before it, and an unknown one's spelling counts.
        An item's end counts as one character of it. Items without kinds, or of kinds this model lacks, are scored under
        the mixture of all kinds by their shares of the training items.
        """
        if self.items:
            return self.list_score(split, self._item_nats)
        n = split.characters
        if not n:
            raise DataError("There is no text to score; give a file with some.")
        nats, encoded = 0.0, []
        for piece in self.vocabulary.pieces(split.pieces()):
            encoded.append(self.vocabulary.encode(piece))
            if self.speller is not None:
                nats += float(self.speller.nats(self.vocabulary.unknown(piece)).sum())
        symbols = np.concatenate(encoded)
        nats -= float(self._likelihoods(symbols, np.asarray([len(symbols)]))[0])
        return {"nats_per_char": nats / n, "n": float(n)}

    # What the states are

    def usage(self) -> Floats:
        """(S,) how often each state is met: in a long text, or in an item."""
        p, total = self.net.start.numpy(), np.zeros(len(self.net.start))
        for _ in range(int(self.lengths[0]) + 2 if self.items else 200):
            total += p
            p = p @ self.net.transitions.numpy()
        return np.asarray(total / total.sum())

    def telling(self, most: int, least: float = 0.0) -> list[list[tuple[str, float]]]:
        """Of each state the likeliest symbols, at most so many, as one reads them, and their probabilities.

        After the first only those of at least the probability `least`.
        """
        starts = [f"start of {label}" for label in self.info.labels] if self.items and self.info.labels else ["start"]
        texts = [*(_readable(token) for token in self.vocabulary.tokens), *starts]
        found = []
        for row in self.net.emissions.numpy():
            merged: dict[str, float] = {}
            for symbol in np.argsort(-row, kind="stable")[: 4 * most].tolist():
                merged[texts[symbol]] = merged.get(texts[symbol], 0.0) + float(row[symbol])
            ordered = sorted(merged.items(), key=lambda pair: -pair[1])
            found.append([ordered[0], *(pair for pair in ordered[1:most] if pair[1] > 0 and pair[1] >= least)])
        return found

    def state_names(self) -> list[str]:
        """Each state's likeliest words."""
        return [" ".join(text for text, _ in told) for told in self.telling(NAMED, NAMING)]

    def inner(self, symbols: Ints, start: int | None) -> dict[str, Any]:
        """How likely each state is in each place of the whole line, the likeliest path, and what the states emit."""
        before = [] if start is None else [start]
        line = [np.append(before, symbols).astype(np.int64)]
        model = CategoricalHMM(len(self.net.start))
        model.set_parameters(self.net.start, self.net.transitions, self.net.emissions)
        (posteriors,), (path,) = model.posteriors(line), model.viterbi(line)[0]
        return {
            "posteriors": posteriors[len(before) :].astype(np.float32),
            "path": path[len(before) :],
            "state_names": self.state_names(),
        }

    def card_notes(self) -> str:
        """The states' words."""
        unit = self.vocabulary.unit
        notes = (
            f"A hidden Markov model of {unit}s, {self.info.config['states']} states, "
            f"{len(self.vocabulary) - 1:,} different {unit}s, trained by EM (Baum-Welch). `nats_per_char` is exact "
            f"over the whole text, every {unit} predicted from all before it"
            + (f", unknown {unit}s with their spelling." if self.speller is not None else ".")
        )
        usage, told = self.usage(), self.telling(TELLING, NAMING / 5)
        rows = [
            f"| {state} | {usage[state]:.1%} | " + " ".join(_cell(text) for text, _ in told[state]) + " |"
            for state in np.argsort(-usage, kind="stable").tolist()
        ]
        table = "\n".join([f"| state | of all | its likeliest {unit}s |", "|---|---|---|", *rows])
        return f"{notes}\n\n## States\n\n![the states used most, and where they lead](states.png)\n\n{table}"

    def card_files(self) -> dict[str, bytes]:
        """The picture of the states too."""
        from generators.core.state_graph import state_graph

        return {
            **super().card_files(),
            "states.png": state_graph(self.telling(4, NAMING), self.usage(), self.transitions),
        }

    @property
    def transitions(self) -> Floats:
        """(S, S): from a state, a row, to a state."""
        return np.asarray(self.net.transitions.numpy())

    # Checkpoints

    def state(self) -> dict[str, NDArray[Any]]:
        """The parameters, the vocabulary, and of a list the hashes of its items."""
        return {
            **self.vocabulary.state(),
            **self.compact,
            "shares": self.shares.astype(np.float32),
            "seen": self.known.astype(np.uint32),
            "lengths": self.lengths,
        }

    @classmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        """The model back. Raises `CheckpointError` where the arrays do not fit."""
        try:
            vocabulary = (Words if info.config["level"] == "word" else Characters).from_state(state)
            shares = state["shares"].astype(np.float64)
            if len(shares) != len(vocabulary):
                raise CheckpointError("Its vocabulary does not fit its states; train the model again.")
            compact = {name: state[name] for name in ("start", "transitions", "sizes", "places", "excess")}
            known, lengths = state["seen"].astype(np.int64), state["lengths"]
            model = cls(info, vocabulary, shares, _restored(compact, shares), known, lengths)
            model.compact = compact
            return model
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
            raise CheckpointError(f"{info.name}'s arrays do not fit together ({error}); train it again.") from error


def _shares(counts: Ints) -> Floats:
    """(V,) of the symbols in a text; where all are known, the unknown one has the share of those seen once (Good 1953),
    of half a one at least, of half the text at most.
    """
    total, found = max(int(counts.sum()), 1), counts.astype(np.float64)
    if not counts[UNKNOWN]:
        found[UNKNOWN] = min(max(float(np.count_nonzero(counts == 1)), 0.5), total / 2)
    return np.asarray(found / found.sum(), dtype=np.float32).astype(np.float64)


def _compact(net: Parameters, shares: Floats, usage: Floats) -> dict[str, NDArray[Any]]:
    """The parameters in few bytes: of each state its symbols' places and what it has of them beyond the text's shares.

    excess: -ln p in units of `STEP`. What is left of a state's probability is spread as `shares` are.
    """
    states = len(net.start) - (net.emissions.shape[1] - len(shares))
    emissions = net.emissions.numpy()[:states, : len(shares)]
    beyond = emissions - (emissions / shares).min(1, keepdims=True) * shares
    share = np.where(beyond > math.exp(-255 * STEP), beyond * usage[:states, None] / (usage[:states] @ emissions), 0.0)
    most = EACH * len(shares)
    kept = share >= max(LEAST, np.partition(share, -most, axis=None)[-most] if share.size > most else 0.0)
    return {
        "start": net.start.numpy().astype(np.float32),
        "transitions": net.transitions.numpy().astype(np.float32),
        "sizes": kept.sum(1).astype(np.int32),
        "places": np.nonzero(kept)[1].astype(np.uint16 if len(shares) < 2**16 else np.uint32),
        "excess": np.round(-np.log(beyond[kept]) / STEP).astype(np.uint8),
    }


def _restored(compact: dict[str, NDArray[Any]], shares: Floats) -> Parameters:
    """The parameters back. Raises IndexError or ValueError where the arrays do not fit."""
    start, transitions = (compact[name].astype(np.float64) for name in ("start", "transitions"))
    sizes, excess = compact["sizes"], np.exp(-STEP * compact["excess"].astype(np.float64))
    states, total = len(sizes), len(start)
    if transitions.shape != (total, total) or not len(excess) == len(compact["places"]) == sizes.sum():
        raise ValueError("states and their symbols differ in number")
    emissions = np.zeros((total, len(shares) + total - states))
    rows = np.repeat(np.arange(states), sizes)
    emissions[rows, compact["places"]] = excess
    sums = emissions[:states].sum(1, keepdims=True)
    emissions[:states] *= np.minimum(1.0, (1 - REST) / np.maximum(sums, REST))
    emissions[:states, : len(shares)] += (1 - emissions[:states].sum(1, keepdims=True)) * shares / shares.sum()
    emissions[states:, len(shares) :] = np.eye(total - states)
    start, transitions = start / start.sum(), transitions / transitions.sum(1, keepdims=True)
    return Parameters(torch.from_numpy(start), torch.from_numpy(transitions), torch.from_numpy(emissions))


def _readable(token: str) -> str:
    """A symbol without the space before it, or what an invisible one is called."""
    names = {"": "(unknown)", "\n": "(line's end)", " ": "(space)", "\t": "(tab)"}
    return names.get(token) or token.strip() or "(blank)"


def _cell(text: str) -> str:
    """A text as it may stand in a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`").replace("*", "\\*").replace("_", "\\_")
