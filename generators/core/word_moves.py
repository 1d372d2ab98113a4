"""Text with given words in it, drawn from a language model by word-level Metropolis-Hastings moves (Miao et al. 2019).

A state is the text after a prompt, as whole words with the marks and the space that belong to each. The target is

    pi(x) proportional to the product over its symbols of f(x_t | prompt, x_<t), times [x is admissible],

where f is what free text is drawn from (`TextLaw`; at temperature 1 it is the model itself) and a text is admissible
if every keyword is in it as a word of its own, it has from `least` to `most` words, and it ends with a sentence (if
the first state does). So pi is the law of free texts of such lengths, given that they have the words; at temperature
1 that is the target of Miao et al. Words of more than `LONGEST` symbols are neither drawn nor rewritten.

A move rewrites up to two words in a row with up to two others, which replaces, inserts and deletes; or it moves a
keyword among its neighbours. The new words are drawn from f itself, given what stands to their left, several times;
what stands to their right then judges them. So a proposal's density cancels all but the right side of pi, and there is
no list of words to propose. Unusual here, both exact:

- one of K tries is chosen by its weight pi / q and accepted against the others (multiple-try Metropolis with
  independent tries: Liu, Liang & Wong 2000; among a finite set it is the metropolised Gibbs sampler: Liu 1996);
- tries are weighed by the next few words alone; only the one that passes meets the whole rest of the text (delayed
  acceptance: Christen & Fox 2005).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator as Progress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from generators.core.errors import RequestError
from generators.core.generator import Cancel, rng
from generators.core.keywords import Keyword
from generators.core.kneser_ney import Floats
from generators.core.placing import Placing
from generators.core.text_law import TINY, TextLaw, Unit, flat, said
from generators.core.writing import Pace, Writer, finished

if TYPE_CHECKING:
    from generators.core.text_model import TextModel

TRIES = 8  # at a rewriting
LENGTHS = (0.15, 0.5, 0.35)  # chance of no word, one and two, both of what is rewritten and of what comes for it
BESIDE = 0.75  # share of rewritings that are near a keyword
MOVED = 0.1  # share of moves that move a keyword
NEAR = 2  # words between a keyword and what is rewritten beside it, less than that
AROUND = 4  # words among which a keyword is moved
HEAD = 3  # words to the right that weigh the tries, where the predictor looks back without bound
LONGEST = 24  # symbols of a word that is drawn
KEPT = 8  # contexts
PATIENCE = 8  # times as many moves, at most, where the text could not be drawn


@dataclass(frozen=True)
class WordTrace:
    """How a chain of M moves went.

    kinds: (M,) replace, insert, delete, move, or none where a move had nothing to try. accepted: (M,). log_density:
    (M + 1,) ln pi before the first move and after each, up to a constant. nats: (M + 1,) of the text under the model.
    """

    keywords: tuple[str, ...]
    kinds: tuple[str, ...]
    accepted: tuple[bool, ...]
    log_density: tuple[float, ...]
    nats: tuple[float, ...]

    @property
    def acceptance(self) -> dict[str, float]:
        """The share of the moves of each kind that were accepted."""
        tried = Counter(self.kinds)
        taken = Counter(kind for kind, accepted in zip(self.kinds, self.accepted, strict=True) if accepted)
        return {kind: taken[kind] / tried[kind] for kind in sorted(tried)}


class Try(NamedTuple):
    """What may stand in a place: its words, the log of its weight, and of its symbols and the next words' (2, T):
    ln f, then nats under the model."""

    words: list[Unit]
    log_weight: float
    logs: Floats


@dataclass
class WordChain:
    """A Markov chain over texts; see the module's docstring. It begins with `symbols`, which hold every keyword.

    words: how many the text should have.
    """

    law: TextLaw
    symbols: list[int]
    keywords: Sequence[Keyword]
    words: int
    random: np.random.Generator
    units: list[Unit] = field(init=False)
    logs: Floats = field(init=False)  # (2, T) of the text's symbols: ln f, then nats under the model

    def __post_init__(self) -> None:
        self.vocabulary, self.parallel, self.white = self.law.vocabulary, self.law.parallel, self.law.white
        self.seen = self.vocabulary, self.law.last
        self.units = self.law.split(self.symbols)
        self.least, self.most = bounds(self.words, len(self.units))
        self.ended = self.law.ends(self.units[-1])
        self.contexts: dict[int, Any] = {0: self.law.start}
        (self.logs,) = self.law.read(self.law.start, [flat(self.units)])

    @property
    def log_density(self) -> float:
        """ln pi of the text up to a constant."""
        return float(self.logs[0].sum())

    @property
    def barred(self) -> bool:
        """Whether something of the text can never be drawn, such as a run that is copied where that is limited."""
        return bool((self.logs[0] <= np.log(TINY) / 2).any())

    @property
    def nats(self) -> float:
        """Of the text under the model, given what stands before it."""
        return float(self.logs[1].sum())

    def text(self) -> str:
        """The text after the prompt."""
        return self.vocabulary.decode(flat(self.units))

    def move(self) -> tuple[str, bool]:
        """One move: its kind, and whether it was accepted."""
        if self.keywords and self.random.random() < MOVED:
            return self._move_keyword()
        return self._rewrite()

    # Moves

    def _rewrite(self) -> tuple[str, bool]:
        """Up to two words in a row for up to two others."""
        many = int(self.random.choice(len(LENGTHS), p=LENGTHS))
        at = self._place(many)
        if at is None or not self._spared(at, many):
            return "none", False
        now = self.units[at : at + many]
        if max(map(len, now), default=0) > LONGEST:
            return "none", False
        tries = [now, *self._drawn(at)]
        tries = [now, *(words for words in tries[1:] if self._admissible(at, many, words))]
        chances = [self._chance(at, self._with(at, many, words), len(words)) for words in tries]
        return self._one_of(at, many, tries, chances, drawn=True)

    def _move_keyword(self) -> tuple[str, bool]:
        """A keyword to another place among the words around it."""
        keyword = self.keywords[int(self.random.integers(len(self.keywords)))]
        spots = keyword.spots(self.units, *self.seen)
        begin, end = spots[int(self.random.integers(len(spots)))]
        offset = int(self.random.integers(AROUND + 1))
        at, many = begin - offset, AROUND + end - begin
        if at < 0 or at + many > len(self.units):
            return "none", False
        block, others = self.units[begin:end], self.units[at:begin] + self.units[end : at + many]
        tries = [others[:i] + block + others[i:] for i in range(AROUND + 1) if i != offset]
        tries = [words for words in tries if self._admissible(at, many, words) and self._kept(at, many, words)]
        tries = [self.units[at : at + many], *tries]
        counts = [len(keyword.spots(self._with(at, many, words), *self.seen)) for words in tries]
        return self._one_of(at, many, tries, [1 / count for count in counts], drawn=False)

    def _one_of(
        self, at: int, many: int, tries: list[list[Unit]], chances: list[float], *, drawn: bool
    ) -> tuple[str, bool]:
        """Go from the first of `tries`, what stands there, to one of the others, or stay.

        chances: of each, that the move is tried in this place once it stands there. drawn: whether they come from
        `_drawn`, else they are all that there is.
        """
        if len(tries) < 2:
            return "none", False
        right = self.units[at + many :]
        head = self._head(right)
        weighed = self._weighed(at, tries, head, drawn)
        logs = np.log(chances) + [each.log_weight for each in weighed]
        weights = np.exp(logs - logs.max())
        total = float(weights[1:].sum())
        below = np.count_nonzero(np.cumsum(weights[1:]) <= self.random.random() * total)
        chosen = 1 + min(int(below), len(tries) - 2)
        new, old = weighed[chosen], weighed[0]
        kind = "move" if not drawn else ("delete", "replace", "insert")[1 + int(np.sign(len(new.words) - many))]
        if self.random.random() * (total - weights[chosen] + weights[0]) >= total:
            return kind, False
        begin = sum(map(len, self.units[:at]))
        rest = self.logs[:, begin + old.logs.shape[1] :]
        after = self._after(at, new.words, old.words, head, flat(right)[len(head) :], rest)
        if self.random.random() >= np.exp(min(after[0].sum() - rest[0].sum(), 0.0)):
            return kind, False
        self.units[at : at + many] = new.words
        self.logs = np.concatenate([self.logs[:, :begin], new.logs, after], 1)
        self.contexts = {i: context for i, context in self.contexts.items() if i <= at}
        return kind, new.words != old.words

    # Where, and whether

    def _place(self, many: int) -> int | None:
        """After how many words `many` of them are rewritten: anywhere, or, more often, near a keyword."""
        last = len(self.units) - many
        if not self.keywords or self.random.random() >= BESIDE:
            return int(self.random.integers(last + 1)) if last >= 0 else None
        keyword = self.keywords[int(self.random.integers(len(self.keywords)))]
        spots = keyword.spots(self.units, *self.seen)
        begin, end = spots[int(self.random.integers(len(spots)))]
        apart = int(self.random.integers(NEAR))
        at = end + apart if self.random.random() < 0.5 else begin - apart - many
        return at if 0 <= at <= last else None

    def _chance(self, at: int, units: list[Unit], many: int) -> float:
        """How often `_place` chooses these `many` words of a text."""
        anywhere = 1 / (len(units) - many + 1)
        if not self.keywords:
            return anywhere
        near = 0.0
        for keyword in self.keywords:
            spots = keyword.spots(units, *self.seen)
            sides = sum((0 <= at - end < NEAR) + (0 <= begin - at - many < NEAR) for begin, end in spots)
            near += sides / max(len(spots), 1)
        return (1 - BESIDE) * anywhere + BESIDE * near / (2 * NEAR * len(self.keywords))

    def _spared(self, at: int, many: int) -> bool:
        """Whether every keyword is in what these words leave."""
        return all(
            any(end <= at or begin >= at + many for begin, end in keyword.spots(self.units, *self.seen))
            for keyword in self.keywords
        )

    def _kept(self, at: int, many: int, words: list[Unit]) -> bool:
        """Whether a text of these words would have every keyword."""
        units = self._with(at, many, words)
        return all(keyword.spots(units, *self.seen) for keyword in self.keywords)

    def _with(self, at: int, many: int, words: list[Unit]) -> list[Unit]:
        return [*self.units[:at], *words, *self.units[at + many :]]

    def _admissible(self, at: int, many: int, words: list[Unit]) -> bool:
        """Whether a text of these words would be one of the chain's, cut into the words that it is made of."""
        units = self._with(at, many, words)
        cut = all(self.white[unit[0]] for unit in units[max(at, 1) : at + len(words) + 1])
        return cut and self.least <= len(units) <= self.most and (not self.ended or self.law.ends(units[-1]))

    # What the model says

    def _context(self, at: int) -> Any:
        """The predictor's after so many words."""
        if at not in self.contexts:
            nearest = max(i for i in self.contexts if i <= at)
            self.contexts[at] = self.parallel.advanced(self.contexts[nearest], flat(self.units[nearest:at]))
            if len(self.contexts) > KEPT:
                del self.contexts[next(i for i in self.contexts if i not in (0, at))]
        return self.contexts[at]

    def _drawn(self, at: int) -> list[list[Unit]]:
        """`TRIES` times 0 to 2 words drawn from f after the first `at` words. One that grows too long, or cannot, is
        left out.
        """
        counts = [count for count in self.random.choice(len(LENGTHS), TRIES, p=LENGTHS).tolist() if count]
        found: list[list[Unit]] = [[] for _ in range(TRIES - len(counts))]
        begun: list[list[list[int]]] = [[[]] for _ in counts]
        contexts = self.parallel.forked(self._context(at), len(counts))
        going, bound = list(range(len(counts))), at > 0
        while going:
            f = self.law.of(self.parallel.each_distribution(contexts))
            if bound:
                f = f * self.white
                bound = False
            sums = f.cumsum(1)
            drawn = (sums <= self.random.random(len(going))[:, None] * sums[:, -1:]).sum(1)
            kept = []
            for k, (row, symbol) in enumerate(zip(going, drawn.tolist(), strict=True)):
                if not sums[k, -1]:  # nothing can follow, where copies are barred
                    continue
                words = begun[row]
                if self.white[symbol] and any(map(self.law.is_said, words[-1])):
                    if len(words) == counts[row]:
                        found.append([tuple(word) for word in words])
                        continue
                    words.append([])
                words[-1].append(symbol)
                if len(words[-1]) <= LONGEST:
                    kept.append(k)
            if kept:
                contexts = self.parallel.stepped(contexts, np.asarray(kept), drawn[kept])
            going = [going[k] for k in kept]
        return found

    def _weighed(self, at: int, tries: list[list[Unit]], head: list[int], drawn: bool) -> list[Try]:
        """Each try with its weight by the words themselves and the next ones.

        Of drawn ones it is f(words, head) / q(words), where q is f given that the first symbol is white space (but at
        the very beginning), times f of the white space that ended them.
        """
        rows = [[*flat(words), *head] for words in tries]
        found = []
        needed = [row[:-1] if head else row for row in rows]
        for words, row, p in zip(tries, rows, self.parallel.foreseen(self._context(at), needed), strict=True):
            f = self.law.of(p)
            logs = said(f, p, row)
            length = len(row) - len(head)
            if not drawn:
                weight = logs[0].sum()
            else:
                weight = logs[0, length:].sum()
                if words:
                    begun, ended = f[[0, length]] @ self.white + TINY
                    weight += (np.log(begun) if at else 0.0) - np.log(ended)
            found.append(Try(words, float(weight), logs))
        return found

    def _head(self, right: list[Unit]) -> list[int]:
        """The next symbols, which weigh what stands before them."""
        if self.law.looks_back is None:
            return flat(right[:HEAD])
        return flat(right[: self.law.looks_back])[: self.law.looks_back]

    def _after(
        self, at: int, new: list[Unit], old: list[Unit], head: list[int], symbols: list[int], rest: Floats
    ) -> Floats:
        """(2, T) as `logs`, of the text's last T symbols after new words and the head; `rest` after the old ones."""
        if not symbols:
            return rest
        after, before = (self.parallel.advanced(self._context(at), [*flat(words), *head]) for words in (new, old))
        if self.law.looks_back is not None and after == before:
            return rest
        return self.law.read(after, [symbols])[0]


def bounds(words: int, present: int) -> tuple[int, int]:
    """How many words a text of about `words` has at least and at most: those that `Pace` allows, and those present."""
    return min(-(-6 * words // 10), present), max(Pace(words).limit, present)


def budget(keywords: int, bounded: bool) -> int:
    """How many moves are made for so many keywords; more where the predictor's look back is bounded, and so cheap."""
    return (8 + 8 * keywords) * (2 if bounded else 1)


def writing_with(
    writer: Writer,
    law: TextLaw,
    keywords: Sequence[Keyword],
    words: int,
    moves: int | None = None,
    told: list[WordTrace] | None = None,
) -> Progress[str, None, list[int]]:
    """A text after `law.before` with all keywords: a free one, the keywords put into it, then `moves` moves.

    On the way it gives the text as it is, in the end its symbols. told: a list that gets how the moves went.
    """
    random, cancel = writer.random, writer.cancel
    free = yield from writer.onwards(law.before, words)
    begun = Placing(law, random, cancel).placed(free, keywords, words)
    chain = WordChain(law, begun, keywords, words, random)
    made = [(chain.log_density, chain.nats)]
    tried: list[tuple[str, bool]] = []
    count = budget(len(keywords), law.looks_back is not None) if moves is None else moves
    while len(tried) < count or (moves is None and chain.barred and len(tried) < PATIENCE * count):
        cancel.check()
        tried.append(chain.move())
        made.append((chain.log_density, chain.nats))
        yield chain.text()
    kinds, accepted = zip(*tried, strict=True) if tried else ((), ())
    log_density, nats = zip(*made, strict=True)
    if told is not None:
        told.append(WordTrace(tuple(one.text for one in keywords), kinds, accepted, log_density, nats))
    return flat(chain.units)


def sample_with(
    model: TextModel,
    words: Sequence[str],
    *,
    prompt: str = "",
    length: int = 60,
    temperature: float = 0.8,
    seed: int = 0,
    moves: int | None = None,
) -> tuple[str, WordTrace]:
    """A text of about `length` words with all of `words` (or phrases) in it, and how the chain went that made it.

    moves: None for as many as `write_text` makes. Raises `RequestError` for a word that the model cannot write,
    and for a model of a list.
    """
    if "write_text" not in model.tasks:
        raise RequestError(
            f"{model.info.name or model.family} writes no running text; choose a model that serves write_text."
        )
    writer, told = model.writer(temperature, rng(seed), Cancel()), list[WordTrace]()
    before, prompt, _ = model.opened(prompt, writer)
    law = TextLaw(model.writing_predictor, model.vocabulary, before, temperature)
    symbols = finished(writing_with(writer, law, model.keywords(words), length, moves, told))
    return (prompt + model.vocabulary.decode(symbols)).strip(), told[0]
