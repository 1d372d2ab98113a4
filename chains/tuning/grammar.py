"""The small phrase language of `phrases/`, nouns, numbers and noise: everything below the level of a request.

`[a|b|]` is a choice, `{slot}` is filled by the caller. Text between KEEP and END marks is copied by the model as it
stands (a prompt, a name, a code), so noise never touches it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random
from typing import Any

KEEP, END = "\x01", "\x02"
SAFE, DONE = "\x03", "\x04"  # the same for words inside a phrase: no noise, but words may follow
_MARKS = re.compile("[\x01-\x04]")
_PLURAL_ONLY = {
    "trousers", "pants", "slacks", "jeans", "chinos", "cargo pants", "corduroys", "joggers", "leggings", "sweatpants",
    "suit trousers", "work trousers", "skinny jeans", "flared jeans", "long pants", "denims", "dungarees", "khakis",
    "tracksuit bottoms",
}  # fmt: skip
ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
_TENS = {
    20: "twenty",
    30: "thirty",
    40: "forty",
    50: "fifty",
    60: "sixty",
    70: "seventy",
    80: "eighty",
    90: "ninety",
}
_QUOTES = [("'", "'"), ('"', '"'), ('"', '"'), ("\u201c", "\u201d"), ("\u2018", "\u2019"), ("\u00ab", "\u00bb")]
_LOOSE = {2: "a couple of", 12: "a dozen", 6: "half a dozen", 24: "two dozen"}


def verbatim(text: str) -> str:
    return f"{KEEP}{text}{END}"


def safe(text: str) -> str:
    return f"{SAFE}{text}{DONE}"


def plain(text: str) -> str:
    """`text` without the marks."""
    return _MARKS.sub("", text)


def expand(template: str, rng: Random, fill: Callable[[str], str]) -> str:
    """Chooses among the alternatives of `template` and fills its slots, left to right."""
    out: list[str] = []
    i = 0
    while i < len(template):
        char = template[i]
        if char == "[" and (close := _closing(template, i)) > 0:
            out.append(expand(rng.choice(_alternatives(template[i + 1 : close])), rng, fill))
            i = close + 1
        elif char == "{":
            close = template.index("}", i)
            out.append(fill(template[i + 1 : close]))
            i = close + 1
        else:
            out.append(char)
            i += 1
    return "".join(out)


def _closing(template: str, opening: int) -> int:
    """Where the choice that opens at `opening` ends, or -1 for a bracket that is none ("[MASK]")."""
    depth = 0
    for i in range(opening, len(template)):
        depth += {"[": 1, "]": -1}.get(template[i], 0)
        if depth == 0:
            return i if "|" in template[opening:i] else -1
    return -1


def _alternatives(body: str) -> list[str]:
    parts, depth = [""], 0
    for char in body:
        depth += {"[": 1, "]": -1}.get(char, 0)
        if char == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts


@cache
def sections(file: str) -> dict[str, list[str]]:
    """The lines of `phrases/FILE` by `## section`; lines before the first section stand under ""."""
    text = (resources.files("chains.tuning") / "phrases" / file).read_text(encoding="utf-8")
    found: dict[str, list[str]] = {"": []}
    here = ""
    for line in text.splitlines():
        if line.startswith("## "):
            here = line[3:].strip()
            found[here] = []
        elif line.strip() and not line.startswith("# "):
            found[here].append(line)
    return found


@cache
def tables(folder: str) -> tuple[tuple[str, str, list[str]], ...]:
    """The sections of every file of `phrases/FOLDER`: the file's name without its end, the heading, the lines."""
    files = sorted(file.name for file in (resources.files("chains.tuning") / "phrases" / folder).iterdir())
    return tuple(
        (file.removesuffix(".txt"), head, lines)
        for file in files
        if file.endswith(".txt")
        for head, lines in sections(f"{folder}/{file}").items()
        if head
    )


@cache
def builtin_frames(task: str, common: bool) -> tuple[str, ...]:
    """The frames of one of the app's tools: the common ways to ask for it, or the many uncommon ones."""
    folder = resources.files("chains.tuning") / "phrases"
    files = sorted(file.name for file in folder.iterdir() if file.name.startswith("builtin_"))
    return tuple(line for file in (["builtin.txt"] if common else files) for line in sections(file).get(task, ()))


@cache
def disguises() -> dict[str, dict[str, Any]]:
    """Other names and descriptions for the app's tools and arguments."""
    text = (resources.files("chains.tuning") / "phrases" / "disguises.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


@cache
def words(name: str) -> tuple[str, ...]:
    """The word list `name` of words.txt (or `list.name` of invented.txt), split at ";" or else at commas."""
    lines = sections("words.txt").get(name) or sections("invented.txt")[f"list.{name}"]
    text = " ".join(line.rstrip(", ") + ("," if ";" not in line else ";") for line in lines)
    mark = ";" if any(";" in line for line in lines) else ","
    return tuple(word.strip() for word in text.strip(" ,;").split(mark) if word.strip())


@cache
def synonyms(name: str) -> dict[str, tuple[str, ...]]:
    """`label=other, words` lines of a section as {label: other words}; "label/plural" keeps its slash."""
    pairs = (line.partition("=") for line in sections("words.txt")[name])
    return {label.strip(): tuple(w.strip() for w in rest.split(",") if w.strip()) for label, _, rest in pairs}


def reserved(line: str) -> bool:
    """Whether a frame is kept for the dev set: about one in ten, by its checksum, so a new line moves no other."""
    return zlib.crc32(line.encode()) % 10 == 0


@dataclass(frozen=True)
class Noun:
    """What a tool's argument says, and how a person says it."""

    arg: str
    one: str
    many: str

    def singular(self, rng: Random, adjective: str = "") -> str:
        """With its article: "a coat", "an ankle boot", "a pair of trousers"."""
        bare = plain(self.one)
        if bare in _PLURAL_ONLY:
            return f"{rng.choice(['a pair of ', 'a pair of ', ''])}{adjective}{self.one}"
        if self.arg[0].isdigit() or self.arg in ONES:
            return rng.choice(["a {}", "the number {}", "the digit {}", "a hand-written {}", "a {}"]).format(self.one)
        if bare in ("sun", "moon"):
            return f"the {self.one}"
        phrase = f"{adjective}{self.one}"
        return f"{article(plain(phrase))} {phrase}"


def article(phrase: str) -> str:
    """ "a" or "an" as `phrase` wants it."""
    return "an" if re.match(r"[aeio]|u(?!ni|ku|s)", phrase.lower()) else "a"


def noun(entry: str, arg: str = "") -> Noun:
    """From "mouse/mice" or a regular word; `arg` is what the tool is told, the singular unless given."""
    one, _, many = entry.partition("/")
    return Noun(arg or one, one, many or plural(one))


def plural(word: str) -> str:
    if word in _PLURAL_ONLY or (word.endswith("s") and word[:-1] in _PLURAL_ONLY):
        return word
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + "es"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + "s"


def number(value: int, rng: Random, loose: bool = True) -> str:
    """A count as people write it: 4, four, a couple of."""
    if loose and value in _LOOSE and rng.random() < 0.25:
        return _LOOSE[value]
    chance = 0.5 if value <= 20 or (value <= 100 and value % 10 == 0) else 0.35 if value % 50 == 0 else 0.25
    return spelled(value, rng) if value <= 1000 and rng.random() < chance else str(value)


def spelled(value: int, rng: Random) -> str:
    """A whole number from 0 to 1000 in words: twenty-four, a hundred and five."""
    if value <= 20:
        return ONES[value]
    if value < 100:
        tens, ones = value - value % 10, value % 10
        return _TENS[tens] + (f"{rng.choice('-- ')}{ONES[ones]}" if ones else "")
    if value == 1000:
        return rng.choice(["a thousand", "one thousand"])
    hundreds, rest = divmod(value, 100)
    start = f"{rng.choice(['a', 'a', 'one']) if hundreds == 1 else ONES[hundreds]} hundred"
    return start + (f"{rng.choice([' and ', ' and ', ' '])}{spelled(rest, rng)}" if rest else "")


def cut(text: str, mark: str) -> tuple[str, ...]:
    """What stands between the marks, without the spaces around it."""
    return tuple(part.strip() for part in text.split(mark))


def listing(parts: list[str], rng: Random) -> str:
    """ "a, b and c" """
    if len(parts) == 1:
        return parts[0]
    return ", ".join(parts[:-1]) + rng.choice([" and ", ", ", " and ", ", and "]) + parts[-1]


def quoted(text: str, rng: Random, bare: float = 0.15) -> str:
    if rng.random() < bare:
        return text
    left, right = rng.choice(_QUOTES)
    return f"{left}{text}{right}"


def noisy(text: str, rng: Random) -> str:
    """`text` as people type it: letter case, missing punctuation, slips of the finger; verbatim stretches stay."""
    style = rng.random()
    parts = re.split(f"({KEEP}[^{END}]*{END}|{SAFE}[^{DONE}]*{DONE})", text)
    slips = rng.choice([0, 0, 0, 0, 1, 1, 2]) if rng.random() < 0.36 else 0
    free = [i for i, part in enumerate(parts) if part[:1] not in (KEEP, SAFE) and len(part) > 6]
    for _ in range(slips if free else 0):
        i = rng.choice(free)
        parts[i] = _slip(parts[i], rng)
    for i, part in enumerate(parts):
        if part[:1] in (KEEP, SAFE):
            continue
        if style < 0.35:
            part = part.lower()
        elif style > 0.97:
            part = part.upper()
        if rng.random() < 0.2:
            part = part.replace("'", "")
        if rng.random() < 0.06:
            part = part.replace(",", "")
        parts[i] = part
    if 0.35 <= style < 0.85 and parts[0]:
        parts[0] = parts[0][0].upper() + parts[0][1:]
    return "".join(parts)


def _slip(text: str, rng: Random) -> str:
    """One typing mistake inside a word of four letters or more."""
    spots = [m.start() for m in re.finditer(r"(?<=[a-zA-Z])[a-z](?=[a-z]{2})", text)]
    if not spots:
        return text
    i = rng.choice(spots)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    if kind == 1:
        return text[:i] + text[i + 1 :]
    if kind == 2:
        return text[:i] + text[i] + text[i:]
    near = {"a": "s", "e": "r", "i": "o", "o": "p", "n": "m", "t": "r", "s": "d", "r": "t"}
    return text[:i] + near.get(text[i], text[i - 1]) + text[i + 1 :]
