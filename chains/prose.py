"""Text written token by token: plain talk, and the words after a tool's result."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from chains.choice import candidates, choose
from chains.prompting import Segment, encode

if TYPE_CHECKING:
    import torch

    from chains.engine import Engine, Outcome
    from chains.session import Session

REPETITION_PENALTY = 1.05  # of plain talk, on its own words (Keskar et al. 2019, section 4.1)
REPEATED_WORDS = 5  # tokens in a row that plain talk never writes twice
REPEATED_COPY = 20  # the same for text that copies, where a long number may hold many like digits
HALF = 0.5  # probability of a name behind a brace from which on it is taken for one
SENTENCE = 4  # words from which on what was heard is no first sentence either; "Good morning." may be one
ANEW = 3  # times that an echo is begun anew
_ROOM = 64  # tokens that a name in braces may take


class Picker(Protocol):
    """What prose needs of a sampler."""

    def pick(self, logits: torch.Tensor) -> int:
        """A token id from `logits` (V,)."""


@dataclass(frozen=True)
class Citable:
    """What tools' results call their values, and whether there are braces in them."""

    names: Sequence[str]
    braces: bool


def prose(
    engine: Engine,
    session: Session,
    sampler: Picker,
    max_tokens: int,
    stops: Sequence[str],
    outcome: Outcome,
    copies: bool = False,
    heard: str | None = None,
    citable: Citable | None = None,
) -> Iterator[str]:
    """Plain text in pieces, until the model ends it, one of `stops` would come, or `max_tokens` are written.

    Text that `copies` (a number out of a tool's result, say) repeats itself at no cost, within limits. An answer
    that is what was `heard`, word for word, or has it as its first sentence, is begun anew with another token; not
    where something is citable. In braces the model may put one of the `citable` names, the likeliest, which is no part
    of the text ("It leaves at {dep} 14:37.").
    """
    import torch

    try:
        written: list[int] = []
        text = done = ""  # what is written, and how much of it is yielded
        barred = list(engine.special)  # as first tokens: an answer is never empty
        echo = _bare(heard) if heard else ""
        long = heard is not None and len(heard.split()) >= SENTENCE
        named = False  # whether a name was just put down
        while len(written) < max_tokens and len(session) < engine.context:
            logits = session.logits()[0]  # (V,)
            if written:
                if not copies:
                    seen = torch.tensor(sorted(set(written)))
                    logits[seen] = torch.where(
                        logits[seen] > 0, logits[seen] / REPETITION_PENALTY, logits[seen] * REPETITION_PENALTY
                    )
                logits[_repeating(written, REPEATED_COPY if copies else REPEATED_WORDS)] = -math.inf
            else:
                logits[barred] = -math.inf
            token = sampler.pick(logits)
            if citable and token in engine.vocabulary.braces:
                put = 0 if named else _put_name(engine, session, token, citable.names)
                outcome.written += put
                if put:
                    named = True
                    continue
                if named or not citable.braces:
                    logits[engine.vocabulary.braces] = -math.inf
                    token = sampler.pick(logits)
            named = False
            outcome.written += 1
            ended = token in engine.special
            if not ended:
                written.append(token)
                session.push([token])
                text = engine.tokenizer.decode(written).lstrip()
            whole = ended or (long and text.endswith((".", "!", "?")))
            if echo and whole and _bare(text) == echo and len(barred) < len(engine.special) + ANEW:
                barred.append(written[0])
                session.rewind(len(written))
                written, text = [], ""
                continue
            if ended:
                outcome.ended_by = token
                break
            cut = min((text.find(stop) for stop in stops if stop in text), default=-1)
            if cut >= 0:
                if text[len(done) : cut]:
                    yield text[len(done) : cut]
                return
            half = text.endswith("\ufffd")  # of a character
            if half or (echo and echo.startswith(_bare(text))):
                continue
            safe = len(text) - max((_overlap(text, stop) for stop in stops), default=0)
            if safe > len(done):
                yield text[len(done) : safe]
                done = text[:safe]
        else:
            outcome.finish = "length"
        rest = text[len(done) :]
        if rest:
            yield rest
    finally:
        session.keep()


def recite(engine: Engine, text: str, max_tokens: int, stops: Sequence[str], outcome: Outcome) -> str:
    """What may be said of a settled `text`: it ends where `prose` would end it."""
    text = text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]
    tokens = encode(engine.tokenizer, [Segment(text)])
    if len(tokens) > max_tokens:
        outcome.finish = "length"
        tokens = tokens[:max_tokens]
        text = engine.tokenizer.decode(tokens).rstrip("\ufffd")
    outcome.written += len(tokens)
    return text


def _put_name(engine: Engine, session: Session, opening: int, names: Sequence[str]) -> int:
    """Put one of `names` in braces if that is what comes; returns the number of tokens, 0 if nothing was changed.

    `opening` is the token that the model begins with.
    """
    if opening not in engine.vocabulary.opening or len(session) + _ROOM > engine.context:
        return 0
    session.push([opening])
    tokens = [encode(engine.tokenizer, [Segment(f"{name}}}")]) for name in names]
    p = session.logits()[0].softmax(-1)
    if float(p[sorted({own[0] for own in tokens})].sum()) < HALF:
        session.rewind(1)
        return 0
    choice = choose(session, candidates(names, tokens, [()] * len(names)), lambda _: ())
    if not choice.written:
        session.push(choice.candidate.tokens)
    return 1 + len(choice.candidate.tokens)


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that may still become `stop`."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


def _bare(text: str) -> str:
    """A text's letters, marks and digits, to see whether two say the same."""
    return "".join(char for char in text.casefold() if unicodedata.category(char)[0] in "LMN")


def _repeating(written: list[int], words: int) -> list[int]:
    """Tokens that would repeat `words` tokens in a row."""
    n = words - 1
    if len(written) <= n:
        return []
    tail = written[-n:]
    return [written[i + n] for i in range(len(written) - n) if written[i : i + n] == tail]
