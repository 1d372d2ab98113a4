"""What every generator of text does with a request, whatever it is that predicts the next symbol.

A running text teaches a model to write text; a list of items (names, words, titles) teaches it to invent more of them,
each between a start symbol of its kind and an end symbol, which is a line's end.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Generator as Progress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.bounds import within
from generators.core.errors import DataError, RequestError
from generators.core.generator import Cancel, Generator, Partial, Request, rng
from generators.core.inside import Inside, best, one_line, under_kinds
from generators.core.inventing import Inventor
from generators.core.keywords import Keyword, Spelling, asked_for
from generators.core.kneser_ney import UNKNOWN, Floats, Ints
from generators.core.labels import match_label
from generators.core.text_law import TextLaw
from generators.core.verbatim import NoVerbatim
from generators.core.vocabulary import Vocabulary
from generators.core.word_moves import writing_with
from generators.core.writing import Predictor, Writer, finished
from generators.data.splits import Texts

SAMPLE_WORDS = 100  # of a raw sample of running text


class TextModel(Generator):
    """A generator of text (`write_text`) or, taught by a list, of items (`invent_names`).

    vocabulary: its symbols; items: whether a list taught it. known: `fingerprints` of the items that are not new.
    lengths: the longest item in symbols, then how many items of each kind there are, (1 + kinds,).
    """

    medium = "text"
    tasks = frozenset({"write_text", "invent_names"})

    vocabulary: Vocabulary
    items: bool
    known: Ints
    lengths: Ints

    @property
    @abstractmethod
    def predictor(self) -> Predictor:
        """What predicts the next symbol."""

    @property
    def writing_predictor(self) -> Predictor:
        """What running text is drawn from: what predicts, unless the model keeps from writing what it might."""
        return self.predictor

    @abstractmethod
    def share(self, item: str, kind: int) -> float:
        """How much of an item's likelihood, under every kind, is that of `kind`."""

    def list_score(self, split: Texts, item_nats: Callable[[Texts, int | None], Floats]) -> dict[str, float]:
        """What `score` says of a list's items, an item's end counting as one character of it.

        item_nats: (N,) nats of items, each given its kind, or as one of a kind. Items without kinds, or of kinds that
        are unknown, are scored under the mixture of all kinds by their shares of the training items.
        """
        if split.running:  # too few lines to look like the list that they are
            split = Texts(tuple(line.strip() for line in split.text.splitlines() if line.strip()))
        if not split.characters:
            raise DataError("There is no text to score; give a file with some.")
        n, kinds = split.characters + 1, self.info.labels
        if kinds and not (split.labels and set(split.names) <= set(kinds)):
            shares = np.log(self.lengths[1:] / self.lengths[1:].sum())
            each = np.stack([item_nats(split, k) for k in range(len(kinds))])
            nats = -np.logaddexp.reduce(shares[:, None] - each, axis=0).sum()
        else:
            if kinds and split.names != tuple(kinds):
                split = replace(split, labels=tuple(kinds.index(split.names[i]) for i in split.labels))
            nats = item_nats(split, None).sum()
        return {"nats_per_char": float(nats / n), "n": float(n)}

    @property
    def reach(self) -> int:
        """Symbols that it sees at most, 0 for any number."""
        return 0

    def spelling(self, text: str) -> Floats:
        """(T,) nats of a text's tokens beyond those of their symbols: what an unknown one's spelling costs."""
        return np.zeros(len(self.vocabulary.split(text)))

    def inner(self, symbols: Ints, start: int | None) -> dict[str, Any]:
        """What goes on within the model on symbols (T,) after a `start` symbol: the fields of `Inside` it has."""
        return {}

    def look_inside(self, text: str) -> Inside:
        """See `Generator.look_inside`. An item of a list is read to its end, as one of the kind that it likeliest is;
        its surprise is that under all kinds.
        """
        text = one_line(text.strip() if self.items else text, self._name())
        if self.items and "\n" in text:
            raise RequestError(f"{self._name()} learnt single lines; give one line.")
        text += "\n" * self.items
        symbols, tokens = self.vocabulary.encode(text), self.vocabulary.split(text)
        if self.reach and len(symbols) > self.reach:
            seen = f"{self._name()} sees {self.reach} at once"
            raise RequestError(f"The line has {len(symbols)} {self.vocabulary.unit}s and {seen}; give a shorter one.")
        size = len(self.vocabulary)
        starts: list[int | None] = [size + kind for kind in range(len(self.lengths) - 1)] if self.items else [None]
        shares = self.lengths[1:] / self.lengths[1:].sum() if self.items else np.ones(1)
        p, kind = under_kinds(np.stack([self._foreseen(symbols, start) for start in starts]), symbols, shares)
        return Inside(
            model=self._name(),
            family=self.family,
            unit=self.vocabulary.unit,
            tokens=tokens,
            read=["", *tokens[:-1]],
            nats=self.spelling(text) - np.log(p[np.arange(len(symbols)), symbols]),
            guesses=best(p, self.vocabulary.tokens),
            kind=self.info.labels[kind] if self.items and self.info.labels else "",
            **self.inner(symbols, starts[kind]),
        )

    def _foreseen(self, symbols: Ints, start: int | None) -> Floats:
        """(T, size): the probabilities of every symbol in each place of a line."""
        context, found = self.predictor.context([] if start is None else [start]), []
        for symbol in symbols.tolist():
            found.append(self.predictor.distribution(context))
            context = self.predictor.extend(context, symbol)
        return np.stack(found)

    def draw(self, request: Request, *, seed: int, cancel: Cancel) -> Iterator[str | Partial]:
        """See `Generator.draw`: one text, or one list of names, a name a line."""
        cancel.check()
        if request.task == "invent_names":
            yield from self._invent(request.args, seed, cancel)
        else:
            yield from self._write_text(request.args, rng(seed), cancel)

    def sample(self, count: int, *, label: str | None = None, seed: int = 0) -> dict[str, NDArray[Any]]:
        """`texts` (N,) str as the model has them, at temperature 1: items (known ones too), or about 100 words each.

        Items are drawn given that they are no longer than the longest of the data.
        """
        kind = self._kind(label or "any") if self.items else None
        texts = []
        for i in range(within("count", count, 1, 10**6)):
            random = rng(seed, i)
            if self.items:
                item = None
                while not item:
                    item = self._inventor().draw(kind, "", random, temperature=1.0)
                texts.append(item)
            else:
                writer = self.writer(1.0, random, Cancel())
                lead, begun = self._begun(writer, self.lead(), self.vocabulary.decode(self.lead()))
                made = finished(writer.onwards(lead, SAMPLE_WORDS))
                texts.append((begun + self.vocabulary.decode(made)).strip())
        return {"texts": np.asarray(texts)}

    def lead(self) -> list[int]:
        """The symbols that a text starts after: a sentence's end, where the model knows one."""
        for lead in (".\n", ". ", "\n"):
            symbols = self.vocabulary.encode(lead).tolist()
            if UNKNOWN not in symbols and self.predictor.knows(symbols):
                return list(symbols)
        return []

    # Lists of items

    def _inventor(self) -> Inventor:
        return Inventor(
            self.predictor, self.vocabulary, len(self.lengths) - 1, self.known, int(self.lengths[0]), self.share
        )

    def _kind(self, kind: str) -> int | None:
        """The kind's number, None for any. Raises `RequestError` that lists the kinds."""
        if kind.casefold() in ("", "any", "auto") or not self.info.labels:
            return None
        label = match_label(kind, self.info.labels)
        if label is None:
            kinds = ", ".join([*self.info.labels, "any"])
            raise RequestError(f"{self._name()} knows no names of the kind {kind!r}; it knows {kinds}.")
        return self.info.labels.index(label)

    def _name(self) -> str:
        return self.info.name or "This model"

    def _invent(self, args: Any, seed: int, cancel: Cancel) -> Iterator[str | Partial]:
        """Distinct items that are not in the data, one a line."""
        count = within("count", args.get("count", 5), 1, 100)
        asked, prefix = str(args.get("kind") or "any"), str(args.get("starts_with") or "").strip()
        kind = self._kind(asked)
        if not self.info.labels and asked.casefold() not in ("any", "auto", "name", "names"):
            yield Partial(f"{self._name()} knows one kind of names only; the kind {asked!r} is left out.")
        letters = {letter for token in self.vocabulary.tokens for letter in token.casefold()} - {"\n"}
        odd = sorted(set(prefix.casefold()) - letters)
        if odd:
            raise RequestError(f"No name that {self._name()} knows has {' '.join(odd)} in it; choose other letters.")
        inventor = self._inventor()
        names: list[str] = []
        taken: set[str] = set()
        copied = 0
        for i in range(count):
            name, new = inventor.new(kind, prefix, rng(seed, i), taken, cancel)
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

    # Running text

    def _write_text(self, args: Any, random: np.random.Generator, cancel: Cancel) -> Iterator[str | Partial]:
        """The prompt and what follows it."""
        words = within("words", args.get("words", 60), 1, 1000)
        temperature = within("temperature", args.get("temperature", 0.8), 0.0, 2.0)
        prompt, wanted = str(args.get("prompt") or "").strip(), str(args.get("must_include") or "").strip()
        style = str(args.get("style") or "auto").casefold()
        about = " ".join([self.info.name, self.info.data, self.family, *self.info.labels, "auto any"]).casefold()
        if not all(word in about for word in re.findall(r"\w+", style)):
            yield Partial(f"{self._name()} writes in one style only, that of {self.info.data}; {style!r} is left out.")
        keywords = self.keywords(asked_for(wanted, self._spelling().expects)) if wanted else []
        writer = self.writer(temperature, random, cancel)
        context, prompt, unknown = self.opened(prompt, writer)
        if unknown:
            what = f"{'word' if self.vocabulary.by_word else 'character'}s {', '.join(unknown)}"
            yield Partial(f"{self._name()} does not know the {what}; it goes on from the rest.")
        missing = [keyword for keyword in keywords if not keyword.is_in(prompt)]
        steps = writer.onwards(context, words)
        if missing:
            law = TextLaw(self.writing_predictor, self.vocabulary, context, temperature)
            steps = writing_with(writer, law, missing, words)
        text = yield from self._told(steps, prompt, words)
        if lost := [keyword.text for keyword in keywords if not keyword.is_in(text)]:
            raise RequestError(f"{self._name()} found no text with {lost[0]!r} in it; choose another word or seed.")
        if missing and isinstance(self.writing_predictor, NoVerbatim):
            symbols = self.vocabulary.encode(text[len(prompt) :]).tolist()
            if self.writing_predictor.copies(symbols):
                raise RequestError(
                    f"{self._name()} found no text with {missing[0].text!r} in it that copies no more than it may; "
                    f"choose another word or seed."
                )
        yield text

    def keywords(self, words: Sequence[str]) -> list[Keyword]:
        """Words or phrases as it writes them. Raises `RequestError` for one that it cannot write."""
        return [self._spelling().keyword(word) for word in words]

    def opened(self, prompt: str, writer: Writer) -> tuple[list[int], str, list[str]]:
        """The symbols that a text with this prompt goes on from, the prompt, whose last word may have been finished,
        and what it does not know of it."""
        opening = self.vocabulary.decode(self.lead()) + prompt
        context, unknown = self.vocabulary.understand(opening)
        context, more = self._begun(writer, context, opening)
        return context, prompt + more, unknown

    def _spelling(self) -> Spelling:
        return Spelling(self.predictor, self.vocabulary, self._name(), self.info.data)

    def writer(self, temperature: float, random: np.random.Generator, cancel: Cancel) -> Writer:
        """What writes running text onwards."""
        vocabulary = self.vocabulary
        return Writer(self.writing_predictor, vocabulary.tokens, temperature, random, cancel, vocabulary.shown)

    def _begun(self, writer: Writer, context: list[int], text: str) -> tuple[list[int], str]:
        """The symbols of a text, whose last word may have been finished by a longer token, and the letters it adds."""
        ending = self.vocabulary.ending(text)
        if not ending:
            return context, ""
        context = context[: -len(ending)]
        made = writer.completed(context, ending)
        return [*context, *made], self.vocabulary.decode(made)[len(self.vocabulary.decode(ending)) :]

    def _told(self, steps: Progress[str, None, list[int]], prompt: str, words: int) -> Progress[Partial, None, str]:
        """The prompt and what a writing of about so many words comes to; on the way, how far it is."""
        before, done = "", 0
        while True:
            try:
                written = next(steps)
            except StopIteration as end:
                return (prompt + self.vocabulary.decode(end.value)).strip()
            if not written.startswith(before):  # another attempt
                before, done = "", 0
            added = written[len(before) :].split()  # not all of it again: it comes symbol by symbol
            goes_on = before[-1:].strip() and written[len(before) :][:1].strip()
            done += len(added) - bool(goes_on)
            before, told = written, min(done, words)
            if text := (prompt + written).strip():
                yield Partial(f"{told} words of {words}", told, words, text)
