"""Writing Python functions symbol by symbol: what a prompt begins, drafts of how it goes on, which of them parse.

Nothing that is written is ever run or imported; `ast.parse` is the only judge.
"""

from __future__ import annotations

import keyword
import re
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np

from generators.core.generator import Cancel
from generators.core.vocabulary import Vocabulary
from generators.core.writing import Predictor, pick
from generators.data.code import parsed

WIDTH = 80  # characters a line that a draft may have on average
HEAD_WORDS = 6  # of a prompt in plain words that name the function

_OPENS = re.compile(r"\s*(?:#.*\n\s*)*(?:(?:async\s+)?def\b|class\s+\w+\s*[:(]|@\w)")


@dataclass(frozen=True)
class Beginning:
    """What a function starts with, dedented; the blanks before each of its lines; whether it was given as code."""

    text: str
    indent: str = ""
    given: bool = True


@dataclass(frozen=True)
class Draft:
    """One attempt, dedented: its text, whether it `parses`, and whether it was `cut` where it went on for too long."""

    text: str
    parses: bool
    cut: bool


def beginning(prompt: str) -> Beginning:
    """A prompt of Python as it stands; of plain words the head of a function named by the first of them.

    `reverse a string` becomes `def reverse_a_string(`, and what has no words `def `.
    """
    prompt = re.sub(r"\A(?:[^\S\n]*\n)+", "", prompt.replace("\r\n", "\n").replace("\r", "\n")).rstrip()
    text = textwrap.dedent(prompt)
    if is_code(text):
        return Beginning(text, prompt[: prompt.index(text[0])])
    words = [word for word in re.findall(r"\w+", text.casefold()) if f"_{word}".isidentifier()]
    name = "_".join(words[:HEAD_WORDS])
    if name[:1].isdigit():
        name = f"_{name}"
    return Beginning(f"def {name}{'_' * keyword.iskeyword(name)}(" if name else "def ", given=False)


def is_code(text: str) -> bool:
    """Whether a text is Python rather than words.

    It is where it opens a definition, or parses (what ends in a colon with `pass` after it) and has a mark that words
    lack: that colon, a bracket or an equals sign.
    """
    if _OPENS.match(text):
        return True
    block = text.endswith(":")
    return bool(block or re.search(r"[=(\[{]", text)) and parsed(f"{text} pass" if block else text) is not None


def parsing_lines(text: str) -> int:
    """How many of a text's first lines parse, taken together; 0 if not even the first does."""
    lines = text.split("\n")
    return next((n for n in range(len(lines), 0, -1) if parsed("\n".join(lines[:n])) is not None), 0)


def draft(
    predictor: Predictor,
    vocabulary: Vocabulary,
    end: int,
    state: Any,
    begun: str,
    lines: int,
    temperature: float,
    random: np.random.Generator,
    cancel: Cancel,
) -> Draft:
    """One attempt at what follows `begun`, which `state` is the predictor's context after, to the symbol `end`.

    It has at most `lines` lines, if need be one more than `begun`. One that is cut there ends with its last whole
    statement: it is not the model that broke off, and what is left is what the model wrote. One that the model ended
    itself stays as it is.
    """
    room = max(lines - begun.count("\n") - 1, 1)  # line breaks
    made, cut = "", True
    for _ in range(WIDTH * (room + 1)):
        cancel.check()
        p = predictor.distribution(state)
        if not made.strip():
            p[end] = 0.0
        symbol = pick(p, temperature, random)
        if symbol == end:
            cut = False
            break
        token = vocabulary.tokens[symbol]
        if token == "\n" and made.count("\n") == room:
            break
        made += token
        state = predictor.extend(state, symbol)
    text = begun + made.rstrip()
    if cut:
        whole = "\n".join(text.split("\n")[: parsing_lines(text)]).rstrip()
        if len(whole) > len(begun):
            return Draft(whole, True, True)
    return Draft(text, parsed(text) is not None, cut)
