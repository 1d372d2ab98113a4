"""Markov models of characters or words: every next symbol from the few before it, counts smoothed by Kneser-Ney.

Unusual here: one class does two jobs, as the data asks. A running text teaches it to write text; a list of items
(names, words, titles) teaches it to invent more of them, each between a start symbol of its kind and an end symbol,
which is a line's end. Whatever it writes has a probability: `score` is exact, over the whole text.

A word is a token with the space before it, so tokens put together are the text again. A word never seen is spelt by a
small character model of the vocabulary, so that the likelihood is one of characters at either level.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Generator as Progress
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from generators.core.errors import CheckpointError, DataError, RequestError
from generators.core.generator import Cancel, Generator, ModelInfo, Partial, Request, Score, Splits, Texts, rng
from generators.core.kneser_ney import UNKNOWN, Floats, Ints, KneserNey
from generators.core.labels import match_label
from generators.core.writing import TRIES, Writer, pick

if TYPE_CHECKING:
    from generators.core.training import Run

LEVELS = {"char": "character", "character": "character", "word": "word", "auto": "auto"}
TOKEN = re.compile(r" ?\w+(?:['\u2019-]\w+)*| ?[^\w\s]|\s")
ORDERS = {"character": 7, "word": 4}  # on a running text
ITEM_ORDERS = range(3, 9)
NEAR_BEST = 1.01  # of the orders whose validation loss is within 1 %, the shortest: it copies least
TUNE_ON = 50_000  # symbols, at most, that the discounts are tuned on
TUNE_FROM = 2_000  # symbols, at least
SPELLING_ORDER = 4
NAME_TEMPERATURE = 0.7
REDRAWS = 100  # of a name that is not new, before the context is cut by one symbol
SAMPLE_WORDS = 100  # of a raw sample of running text


@dataclass
class Config:
    """Options of a Markov model."""

    order: int = 0  # length of the n-grams, 1 to 10; 0: 7 characters or 4 words, for a list chosen on validation
    level: str = "auto"  # character, word, or auto: character
    max_mib: float = 0.0  # size that the model is pruned to, MiB; 0: no pruning
    tune: bool = True  # discounts tuned on a held-back piece of the training text, else from its counts of counts


class Markov(Generator):
    """An n-gram model of text (`write_text`) or of a list of items (`invent_names`)."""

    family = "markov"
    kinds = frozenset({"markov"})
    medium = "text"
    tasks = frozenset({"write_text", "invent_names"})
    Config = Config

    def __init__(
        self, info: ModelInfo, tokens: list[str], counts: KneserNey, speller: Speller | None, seen: Ints, lengths: Ints
    ) -> None:
        """tokens: symbol -> text, the unknown first. seen: sorted hashes of items that are not new. lengths: (2,) of
        the longest item in symbols, and of the items of each kind."""
        self.info, self.tokens, self.counts, self.speller = info, tokens, counts, speller
        self.seen, self.lengths = seen, lengths
        self.words = info.config["level"] == "word"
        self.items = "invent_names" in info.tasks
        self.tasks = frozenset(info.tasks)  # type: ignore[misc]
        self.symbols = {token: i for i, token in enumerate(tokens) if i}

    @classmethod
    def fit(cls, splits: Splits[Texts], config: Config, run: Run) -> Self:
        """Count `splits.train`; a list's order is chosen on `splits.val`, which then gives the model's first score.

        Raises ValueError for options out of bounds, `DataError` for data without a character, `Cancelled`.
        """
        level = LEVELS.get(str(config.level).casefold().removesuffix("s"))
        if level is None:
            raise ValueError(f"The level {config.level!r} is unknown; it is character, word or auto.")
        if not 0 <= config.order <= 10:
            raise ValueError(f"An order of {config.order} is out of bounds; it is 1 to 10, or 0 for a fitting one.")
        if not config.max_mib >= 0:
            raise ValueError(f"max_mib is {config.max_mib}; it is a size in MiB, or 0 for a model that is not pruned.")
        if not splits.train.text.strip():
            raise DataError(f"{splits.source.name} holds no text to learn from; give a file with some.")
        level = "character" if level == "auto" else level
        items = not splits.train.running
        orders = [config.order] if config.order else list(ITEM_ORDERS) if items and splits.val.text else [ORDERS[level]]
        losses: dict[int, float] = {}
        for order in orders if len(orders) > 1 else []:
            trial = cls._counted(splits, replace(config, order=order, level=level, tune=False), run)
            losses[order] = trial.score(splits.val)["nats_per_char"]
        near = [order for order, loss in losses.items() if loss <= NEAR_BEST * min(losses.values())] or orders
        model = cls._counted(splits, replace(config, order=near[0], level=level), run)
        if splits.val.text:
            figures = model.score(splits.val)
            model.info.scores = [
                Score("nats_per_char", figures["nats_per_char"], f"{splits.source.name}:val", int(figures["n"]))
            ]
            model._report(run, figures["nats_per_char"])
        return model

    @classmethod
    def _counted(cls, splits: Splits[Texts], config: Config, run: Run) -> Self:
        """The model of one order."""
        train, items = splits.train, not splits.train.running
        text = train.text + "\n" * items
        parts = TOKEN.findall(text) if config.level == "word" else text
        tokens = ["", *sorted(set(parts))]
        info = ModelInfo.of(cls, splits, config, seed=run.seed)
        info.tasks = ["invent_names"] if items else ["write_text"]
        speller = Speller.fit(tokens) if config.level == "word" else None
        parts_of = (splits.train, splits.val, splits.test) if items else ()
        every = [item for part in parts_of if part for item in part.items]
        shares = np.bincount(train.labels, minlength=len(train.names)) if train.labels else np.asarray([len(train)])
        blank = KneserNey(len(tokens), len(shares), [])
        # What is new is not in the data at all, so val and test count as seen here; no probability knows of them.
        seen = np.unique(np.asarray([fingerprint(item) for item in every], dtype=np.int64))
        model = cls(info, tokens, blank, speller, seen, np.asarray([0, *shares], dtype=np.int64))
        sequence = model._sequence(train)
        if items:
            gaps = np.diff(np.append(np.flatnonzero(sequence >= len(tokens)), len(sequence)))
            model.lengths[0] = gaps.max() - 1
        else:
            sequence = np.append(len(tokens), sequence)
        rest = 1024 + sum(array.nbytes for array in model.state().values())  # 1024: discounts, headers
        width = 3 + (1 if len(tokens) + len(shares) <= 256 else 2 if len(tokens) < 65_000 else 4)  # bytes a count
        if config.max_mib and config.max_mib * 2**20 < rest + width * len(tokens):
            raise ValueError(
                f"max_mib is {config.max_mib}, but the vocabulary alone takes {rest / 2**20:.2f} MiB; allow more."
            )
        options: dict[str, Any] = {
            "size": len(tokens),
            "starts": len(shares),
            "order": config.order,
            "unknown": None if speller is None else _unknown_share(sequence, len(tokens)),
            "check": run.cancel.check,
        }
        discounts = _tuned(sequence, items, options) if config.tune else None
        limit = max(int((config.max_mib * 2**20 - rest) / width), 1) if config.max_mib else 0
        model.counts = KneserNey.fit(sequence, max_nodes=limit, discounts=discounts, **options)
        info.parameters = model.counts.nodes
        return model

    @staticmethod
    def _report(run: Run, loss: float) -> None:
        from generators.core.training import Event

        for callback in run.callbacks:
            callback(Event("val", step=1, total=1, figures={"nats_per_char": loss}))

    def _encode(self, text: str) -> Ints:
        """The symbols of a text."""
        if self.words:
            return np.asarray([self.symbols.get(token, UNKNOWN) for token in TOKEN.findall(text)], dtype=np.int64)
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        alphabet = np.asarray([ord(token) for token in self.tokens[1:]], dtype=np.uint32)
        at = np.minimum(np.searchsorted(alphabet, codes), len(alphabet) - 1)
        return np.where(alphabet[at] == codes, at + 1, UNKNOWN).astype(np.int64)

    def _sequence(self, texts: Texts, start: int | None = None) -> Ints:
        """A text's symbols; of a list with a start symbol before and a line's end after each item.

        The start symbols are those of the items' own kinds, or of kind `start` for all.
        """
        text = texts.text
        if not self.items:
            return self._encode(text)
        symbols = self._encode(text + "\n")
        lines = np.append(0, np.flatnonzero(symbols == self.symbols["\n"])[:-1] + 1)
        if start is not None:
            kinds = np.full(len(lines), start)
        else:
            kinds = np.asarray(texts.labels) if texts.labels else np.zeros(len(lines), dtype=np.int64)
        return np.insert(symbols, lines, len(self.tokens) + kinds)

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
            each = np.stack([self._item_nats(self._sequence(split, k), split) for k in range(len(kinds))])
            nats = -np.logaddexp.reduce(shares[:, None] - each, axis=0).sum()
        else:
            if kinds and split.names != tuple(kinds):
                split = replace(split, labels=tuple(kinds.index(split.names[i]) for i in split.labels))
            nats = self._nats(self._sequence(split), split.text).sum()
        return {"nats_per_char": float(nats / n), "n": float(n)}

    def _nats(self, sequence: Ints, text: str) -> Floats:
        """Nats of every symbol; an unknown word's spelling is part of it."""
        nats = -self.counts.log_probs(sequence)
        if self.speller is not None:
            at = np.flatnonzero(sequence == UNKNOWN)
            unknown = [token for token in TOKEN.findall(text) if token not in self.symbols]
            nats[at] += self.speller.nats(unknown)
        return nats

    def _item_nats(self, sequence: Ints, split: Texts) -> Floats:
        """Nats of every item."""
        return np.add.reduceat(self._nats(sequence, split.text), np.flatnonzero(sequence >= len(self.tokens)))

    def draw(self, request: Request, *, seed: int, cancel: Cancel) -> Iterator[str | Partial]:
        """See `Generator.draw`: one text, or one list of names, a name a line."""
        cancel.check()
        args = request.args
        if request.task == "invent_names":
            yield from self._invent(args, seed, cancel)
        else:
            yield from self._write_text(args, rng(seed), cancel)

    def sample(self, count: int, *, label: str | None = None, seed: int = 0) -> dict[str, NDArray[Any]]:
        """`texts` (N,) str as the model has them, at temperature 1: items (known ones too), or about 100 words each.

        Items are drawn given that they are no longer than the longest of the data.
        """
        kind = self._kind(label or "any") if self.items else None
        texts = []
        for i in range(_within("count", count, 1, 10**6)):
            random = rng(seed, i)
            if self.items:
                item = None
                while not item:
                    item = self._item(kind, "", random, temperature=1.0)
                texts.append(item)
            else:
                text = _last(self._writer(1.0, random, Cancel()).onwards(self._lead(), SAMPLE_WORDS))
                texts.append("".join(self.tokens[i] for i in text).strip())
        return {"texts": np.asarray(texts)}

    def card_notes(self) -> str:
        """What is particular to this model."""
        unit = "words" if self.words else "characters"
        pruned = f", pruned to {self.info.config['max_mib']} MiB" if self.info.config.get("max_mib") else ""
        notes = (
            f"Interpolated modified Kneser-Ney (Chen & Goodman 1999) over {unit}, order {self.counts.order}{pruned}; "
            f"{len(self.tokens) - 1:,} different {unit}. Its parameters are its counts."
        )
        if self.items:
            notes += " An item's end counts as one character in `nats_per_char`. Invented items are never in the data."
        return notes

    # Lists of items

    def _kind(self, kind: str) -> int | None:
        """The kind's number, None for any. Raises `RequestError` that lists the kinds."""
        if kind.casefold() in ("", "any", "auto") or not self.info.labels:
            return None
        label = match_label(kind, self.info.labels)
        if label is None:
            raise RequestError(f"{self._name()} knows no names of the kind {kind!r}; it knows {self._kinds()}.")
        return self.info.labels.index(label)

    def _kinds(self) -> str:
        return ", ".join([*self.info.labels, "any"])

    def _name(self) -> str:
        return self.info.name or "This model"

    def _invent(self, args: Any, seed: int, cancel: Cancel) -> Iterator[str | Partial]:
        """Distinct items that are not in the data, one a line."""
        count = _within("count", args.get("count", 5), 1, 100)
        asked, prefix = str(args.get("kind") or "any"), str(args.get("starts_with") or "").strip()
        kind = self._kind(asked)
        if not self.info.labels and asked.casefold() not in ("any", "auto", "name", "names"):
            yield Partial(f"{self._name()} knows one kind of names only; the kind {asked!r} is left out.")
        known = {letter for token in self.tokens for letter in token.casefold()} - {"\n"}
        odd = sorted(set(prefix.casefold()) - known)
        if odd:
            raise RequestError(f"No name that {self._name()} knows has {' '.join(odd)} in it; choose other letters.")
        names: list[str] = []
        taken: set[str] = set()
        copied = 0
        for i in range(count):
            name, new = self._new_item(kind, prefix, rng(seed, i), taken, cancel)
            if name is None:
                break
            copied += not new
            names.append(name)
            taken.add(name.casefold())
        if not names:
            raise RequestError(f"{self._name()} finds no name that starts with {prefix!r}; choose fewer first letters.")
        if copied or len(names) < count:
            yield Partial(
                f"{self._name()} found {len(names) - copied} new names of {count} asked for"
                + (f"; {copied} are from its data." if copied else ".")
            )
        yield "\n".join(names)

    def _new_item(
        self, kind: int | None, prefix: str, random: np.random.Generator, taken: set[str], cancel: Cancel
    ) -> tuple[str | None, bool]:
        """An item that is neither taken nor in the data, and True; or else one that is not taken (None), and False.

        One of a certain kind is kept with that kind's share of its likelihood, since kinds share what they say after a
        few letters: `Dindseman`, drawn as a female first name, is likelier a surname.
        """
        spare = None
        for longest in range(self.counts.order - 1, min(self.counts.order - 1, 1) - 1, -1):
            cancel.check()
            for _ in range(REDRAWS):
                item = self._item(kind, prefix, random, longest)
                if not item or item.casefold() in taken:
                    continue
                if not self._is_known(item):
                    if kind is None or random.random() < self._likeness(item, kind):
                        return item, True
                    continue
                spare = spare or item
        return spare, False

    def _likeness(self, item: str, kind: int) -> float:
        """How much of an item's likelihood, under every kind, is that of `kind`."""
        one = Texts((item,))
        nats = np.asarray([self._nats(self._sequence(one, k), item).sum() for k in range(self.counts.starts)])
        return float(np.exp(-nats[kind] - np.logaddexp.reduce(-nats)))

    def _is_known(self, item: str) -> bool:
        at = np.searchsorted(self.seen, fingerprint(item))
        return bool(at < len(self.seen) and self.seen[at] == fingerprint(item))

    def _item(
        self,
        kind: int | None,
        prefix: str,
        random: np.random.Generator,
        longest: int | None = None,
        temperature: float = NAME_TEMPERATURE,
    ) -> str | None:
        """One draw of the chain, given that it starts with `prefix` in any case; None if it would not end."""
        drawn = int(random.integers(len(self.lengths) - 1))  # all kinds alike, however many the data has of each
        start = len(self.tokens) + (drawn if kind is None else kind)
        context, end, rest, made = self.counts.context([start]), self.symbols["\n"], prefix.casefold(), ""
        first = self._first(context[1]) if temperature < 1 else None
        for _ in range(int(self.lengths[0]) + len(prefix)):
            p = self.counts.distribution(context, longest)
            if rest:
                folded = [token.casefold() for token in self.tokens]
                p *= [bool(token) and (rest.startswith(token) or token.startswith(rest)) for token in folded]
                if not p.any():
                    return None
            if not made:
                p[end] = 0.0
                if first is not None and (p * first).any():
                    p *= first
            symbol = pick(p, temperature, random)
            if symbol == end:
                return made.strip()
            made += self.tokens[symbol]
            rest = rest[len(self.tokens[symbol]) :]
            context = self.counts.extend(context, symbol)
        return None

    def _first(self, start: int) -> NDArray[np.bool_] | None:
        """Which symbols began an item after this start symbol's node: an invented one begins with one of them too."""
        if self.counts.order == 1:
            return None
        level, known = self.counts.levels[1], np.zeros(len(self.tokens), dtype=bool)
        known[level.symbols[level.first[start] : level.first[start + 1]]] = True
        return known

    # Running text

    def _lead(self) -> list[int]:
        """The symbols that a text starts after: a sentence's end."""
        for lead in (".\n", ". ", "\n"):
            symbols = self._encode(lead).tolist()
            if UNKNOWN not in symbols and self.counts.context(symbols)[-1] >= 0:
                return list(symbols)
        return []

    def _write_text(self, args: Any, random: np.random.Generator, cancel: Cancel) -> Iterator[str | Partial]:
        """The prompt and what follows it."""
        words = _within("words", args.get("words", 60), 1, 1000)
        temperature = _within("temperature", args.get("temperature", 0.8), 0.0, 2.0)
        prompt, wanted = str(args.get("prompt") or "").strip(), str(args.get("must_include") or "").strip()
        style = str(args.get("style") or "auto").casefold()
        about = f"{self.info.name} {self.info.data} {self.family} auto any".casefold()
        if not all(word in about for word in re.findall(r"\w+", style)):
            yield Partial(f"{self._name()} writes in one style only, that of {self.info.data}; {style!r} is left out.")
        context, unknown = self._prompt(prompt)
        if unknown:
            what = "words" if self.words else "characters"
            yield Partial(f"{self._name()} does not know the {what} {', '.join(unknown)}; it goes on from the rest.")
        writer = self._writer(temperature, random, cancel)
        if not wanted:
            made = yield from writer.onwards(context, words)
            yield self._joined(prompt, made)
            return
        has = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)", re.IGNORECASE)
        form = self._form(wanted)
        for attempt in range(TRIES):
            if attempt == 0:
                made = yield from writer.onwards(context, words)
            else:
                made = yield from writer.around(form, context, words, prompted=bool(prompt))
            text = self._joined(prompt, made)
            if has.search(text):
                yield text
                return
        raise RequestError(f"{self._name()} found no text with {wanted!r} in it; choose another word or seed.")

    def _writer(self, temperature: float, random: np.random.Generator, cancel: Cancel) -> Writer:
        return Writer(self.counts, self.tokens, self.words, temperature, random, cancel)

    def _joined(self, prompt: str, made: list[int]) -> str:
        text = "".join(self.tokens[symbol] for symbol in made)
        return (prompt + text).strip() if prompt else text.strip()

    def _prompt(self, prompt: str) -> tuple[list[int], list[str]]:
        """The context that a prompt makes, and those of its words or characters that the model does not know."""
        lead = self._lead()
        text = "".join(self.tokens[symbol] for symbol in lead)
        if not self.words:
            symbols = self._encode(prompt).tolist()
            unknown = [letter for letter, symbol in zip(prompt, symbols, strict=True) if symbol == UNKNOWN]
            return [*lead, *symbols], list(dict.fromkeys(unknown))
        context, unknown = [], []
        for token in TOKEN.findall(text + prompt):
            found = next((self.symbols[form] for form in _cases(token) if form in self.symbols), UNKNOWN)
            context.append(found)
            if found == UNKNOWN:
                unknown.append(token.strip())
        return context, list(dict.fromkeys(unknown))

    def _form(self, wanted: str) -> list[int]:
        """The most usual way to write a word after a space, in symbols. Raises `RequestError` if there is none."""
        found = []
        for form in _cases(wanted):
            symbols = self._encode(f" {form}").tolist()
            if UNKNOWN not in symbols:
                depth = sum(node >= 0 for node in self.counts.context(symbols)) if len(symbols) > 1 else 2
                found.append((-depth / min(len(symbols), self.counts.order), len(found), symbols))
        if not found:
            what = "is not one of the words" if self.words else "is not in the characters"
            raise RequestError(f"{wanted!r} {what} that {self._name()} learnt from {self.info.data}; choose another.")
        return min(found)[2]

    # Checkpoints

    def state(self) -> dict[str, NDArray[Any]]:
        """The counts, the vocabulary, and of a list the hashes of its items."""
        found = {
            "tokens": _packed(self.tokens),
            "seen": self.seen.astype(np.uint32),
            "lengths": self.lengths,
        }
        if self.counts.levels:
            found |= {f"counts.{name}": array for name, array in self.counts.state().items()}
        if self.speller is not None:
            found["letters"] = _packed(self.speller.letters)
            found |= {f"speller.{name}": array for name, array in self.speller.counts.state().items()}
        return found

    @classmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        """The model back. Raises `CheckpointError` where the arrays do not fit."""
        try:
            tokens, counts = _unpacked(state["tokens"]), KneserNey.from_state(_under("counts.", state))
            speller = None
            if "letters" in state:
                speller = Speller(_unpacked(state["letters"]), KneserNey.from_state(_under("speller.", state)))
            lengths = state["lengths"].astype(np.int64)
            if counts.size != len(tokens) or len(lengths) != 1 + counts.starts:
                raise CheckpointError("Its vocabulary does not fit its counts; train the model again.")
            return cls(info, tokens, counts, speller, state["seen"].astype(np.int64), lengths)
        except (KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"{info.name}'s arrays do not fit together ({error}); train it again.") from error


class Speller:
    """How likely a word is that was never seen: characters of the known words, to the word's end (symbol 1)."""

    def __init__(self, letters: list[str], counts: KneserNey) -> None:
        self.letters, self.counts = letters, counts
        self.symbols = {letter: i for i, letter in enumerate(letters) if i > 1}

    @classmethod
    def fit(cls, tokens: list[str]) -> Self:
        """Learn to spell from a vocabulary, every word once."""
        letters = ["", "end", *sorted(set("".join(tokens)))]
        blank = cls(letters, KneserNey(len(letters), 1, []))
        sequence = blank._sequence([token for token in tokens if token])
        return cls(letters, KneserNey.fit(sequence, size=len(letters), starts=1, order=SPELLING_ORDER))

    def _sequence(self, words: list[str]) -> Ints:
        start = len(self.letters)
        return np.asarray([i for word in words for i in (start, *(self.symbols.get(c, UNKNOWN) for c in word), 1)])

    def nats(self, words: list[str]) -> Floats:
        """(N,) nats of the words' spellings."""
        if not words:
            return np.zeros(0)
        sequence = self._sequence(words)
        return -np.add.reduceat(self.counts.log_probs(sequence), np.flatnonzero(sequence == len(self.letters)))


def fingerprint(item: str) -> int:
    """A 32-bit hash by which an item is told to be in the data, whatever its case."""
    return zlib.crc32(item.casefold().encode("utf-8", "surrogatepass"))


def _tuned(sequence: Ints, items: bool, options: dict[str, Any]) -> Floats | None:
    """Discounts tuned on a piece of `sequence` with the counts of its first half; None if there is too little of it.

    Of a list, pieces are items drawn by lot, since lists have an order of their own.
    """
    if items:
        each = np.split(sequence, np.flatnonzero(sequence >= options["size"])[1:])
        sequence = np.concatenate([each[i] for i in rng(0).permutation(len(each))])
    half = len(sequence) // 2
    held_back = sequence[half : half + min(half // 4, TUNE_ON)]
    if len(held_back) < TUNE_FROM:
        return None
    return KneserNey.fit(sequence[:half], **options).tune(held_back)


def _unknown_share(sequence: Ints, size: int) -> float:
    """Order 0's probability of an unknown word: the share of the vocabulary that was seen once only."""
    once = np.count_nonzero(np.bincount(sequence, minlength=size) == 1)
    return float(min(max(once / size, 0.01), 0.99))


def _within(name: str, value: Any, least: Any, most: Any) -> Any:
    """`value` if it is a number in [least, most] (and whole where `least` is). Raises `RequestError`."""
    whole = isinstance(least, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not least <= value <= most:
        raise RequestError(f"{name} is {value!r}; it is a {'whole ' if whole else ''}number from {least} to {most:,}.")
    return value


def _cases(token: str) -> list[str]:
    """A word as it is, then with other capitals."""
    space, word = (" ", token[1:]) if token.startswith(" ") else ("", token)
    return list(dict.fromkeys(space + form for form in (word, word.lower(), word.capitalize(), word.upper())))


def _last(steps: Progress[Partial, None, list[int]]) -> list[int]:
    """What a generator returns in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return list(done.value)


def _packed(texts: list[str]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogatepass"), np.uint8)


def _unpacked(array: NDArray[Any]) -> list[str]:
    return [str(text) for text in json.loads(array.tobytes().decode("utf-8", "surrogatepass"))]


def _under(prefix: str, state: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
