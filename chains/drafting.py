"""Guesses how a call goes on, for the model to check in one forward pass instead of one a token.

Speculative decoding (Leviathan et al. 2023) with a guess that costs no model: most of a call is already there. Words
are copied from the conversation (prompt lookup, Saxena 2023), numbers come from the last message, what was not said
is null, and the grammar forces the rest. A guess never decides: `Engine` keeps only what the model itself would have
written, so a wrong one costs a little time and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from chains.copying import Copying
from chains.grammar import Arguments, Vocabulary
from chains.numbers import LINE, said_numbers, without_null
from chains.prompting import Segment, encode
from chains.spacing import spaced

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from chains.session import Session

DRAFT_TOKENS = 40  # longest guess; a wrong token costs about a thirtieth of the pass that it saves where it is right
_WORD = re.compile(r"[\w'\u2019-]*")
_CLAUSE = re.compile(r"[^,.;:!?\"\\\u201c\u201d\n<]*")


def write(
    session: Session,
    arguments: Arguments,
    drafted: list[int],
    drafter: Drafter | None,
    pick: Callable[[torch.Tensor, NDArray[Any]], int],
    context: int,
    copying: Copying | None = None,
) -> int:
    """Write all of `arguments`, of which `pick` chooses each free token, among those that `copying` leaves; returns the
    number of tokens.

    `drafted` tokens stand at the end of `session` already. Those that `pick` agrees with stay, with the first other
    one the guess is dropped and a new one made; so what is written is what would be written without any guess.
    Raises ValueError if more than `context` tokens would stand.
    """
    count = 0
    while not arguments.done:
        logits = session.logits(len(drafted) + 1)  # after what is written, then after each drafted token
        agreed = 0
        while not arguments.done:
            allowed = arguments.allowed()
            tokens = arguments.accept(
                pick(logits[agreed], copying.narrowed(arguments, allowed) if copying else allowed)
            )
            count += len(tokens)
            if drafted[agreed : agreed + len(tokens)] != tokens:
                session.rewind(len(drafted) - agreed)
                session.push(tokens)
                break
            agreed += len(tokens)
        if len(session) > context:
            raise ValueError(f"no room for a call within {context} tokens; shorten the conversation")
        drafted = drafter.draft(arguments, context - len(session)) if drafter and not arguments.done else []
        session.push(drafted)
    json.loads(arguments.text)  # cheap, and nothing that is not JSON leaves here
    return count


class Drafter:
    """Guesses for the calls of one turn; `conversation` is its text, newest last."""

    def __init__(self, tokenizer: Any, vocabulary: Vocabulary, conversation: str) -> None:
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._said = conversation
        self._last = conversation.rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")[0]

    def draft(self, arguments: Arguments, room: int) -> list[int]:
        """Tokens that may come next, all that the grammar forces among them; none if nothing is likely.

        `room` is what the model can still read.
        """
        ahead, tokens, guess = arguments.copy(), list[int](), ""
        limit = min(room - DRAFT_TOKENS, DRAFT_TOKENS)
        steps: list[tuple[int, int]] = []
        while not ahead.done and len(tokens) < limit:
            text = ahead.text
            if not guess.startswith(text) or len(guess) == len(text):
                guess = guess_arguments(arguments.schema, text, self._said, self._last)
                steps = self._steps(guess)
                if not guess.startswith(text) or len(guess) == len(text):
                    break
            token = self._next(steps, guess, text)
            if token is None or not ahead.fits(token):
                break
            tokens += ahead.accept(token)
        return tokens

    def _steps(self, guess: str) -> list[tuple[int, int]]:
        """Tokens of the whole guess, each after how many bytes of it."""
        found, at = list[tuple[int, int]](), -1  # the space before the arguments is no part of them
        for token in self._encode(" " + guess):
            found.append((at, token))
            at += len(self._vocabulary.bytes[token])
        return found

    def _next(self, steps: list[tuple[int, int]], guess: str, text: str) -> int | None:
        done = len(text.encode())
        aligned = next((token for at, token in steps if at == done), None)
        if aligned is not None:
            return aligned
        rest = self._encode(guess[len(text) :])
        return rest[0] if rest else None

    def _encode(self, text: str) -> list[int]:
        return encode(self._tokenizer, [Segment(text)])


def guess_arguments(schema: Mapping[str, Any], written: str, said: str, last: str) -> str:
    """Arguments as compact JSON that begins with `written`, as far as they can be guessed.

    `said` is the conversation, `last` what the person said last.
    """
    properties, required = schema.get("properties") or {}, schema.get("required") or ()
    out, numbers = "{", said_numbers(last)
    for i, (name, field) in enumerate(properties.items()):
        out += ("," if i else "") + json.dumps(name, ensure_ascii=False) + ":"
        part = written[len(out) :]
        if not (written.startswith(out) or out.startswith(written)):
            return ""
        value, whole = _parsed(part)
        if not whole:
            kind = without_null(field)
            if part.startswith('"'):
                value = _string(part, kind, said, last)
            elif part and part[0] in "-0123456789":
                value = next((number for number in numbers if number.startswith(part)), part)
            else:
                value = _begun(kind, name in required, numbers, last)
                value = value if value.startswith(part) else ""
            if not value:
                return out + (part or ('"' if kind.get("type") == "string" else ""))
        if value in numbers:
            numbers.remove(value)
        out += value
    return out + "}"


def _parsed(part: str) -> tuple[str, bool]:
    """The first JSON value of `part` and whether it cannot go on."""
    try:
        value, end = json.JSONDecoder().raw_decode(part)
    except ValueError:
        return "", False
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return part[:end], not (number and end == len(part))


def _begun(kind: Mapping[str, Any], required: bool, numbers: list[str], last: str) -> str:
    """A value of which nothing is written yet; empty if it cannot be guessed."""
    named = [json.dumps(spaced(v, kind, ()), ensure_ascii=False) for v in kind.get("enum") or () if str(v) in last]
    if named:
        return named[0]
    if kind.get("type") in ("integer", "number") and numbers:
        return numbers[0]
    return "" if required else "null"


def _string(part: str, kind: Mapping[str, Any], said: str, last: str) -> str:
    """The string that begins with `part`, a quote and perhaps some characters; empty if none is likely."""
    try:
        begun = json.loads(part + '"')
    except ValueError:  # in the middle of an escape
        return ""
    choices = [spaced(value, kind, ()) for value in kind.get("enum") or () if isinstance(value, str)]
    choices = [value for value in choices if value.startswith(begun)]
    if choices:
        return json.dumps(choices[0], ensure_ascii=False)
    shown = part[1:]  # what was said is shown with a string's escapes already
    if not shown.strip():
        return ""
    begins = "" if shown.startswith(" ") else rf"(?:(?<!\w)|{LINE})"
    for text in (last, said):
        found = re.search(begins + re.escape(shown), text, re.IGNORECASE)
        if found:
            more = _CLAUSE if " " in shown[1:] else _WORD
            rest = more.match(text, found.end())
            return f'"{shown}{rest.group().rstrip() if rest else ""}"'
    return ""
