"""Answers about the app from what is true of it: its tools, its trained models' cards, its families' docstrings.

The passages are ranked by BM25 (Robertson & Zaragoza 2009) over their words; nothing is written down twice, so an
answer cannot say what is not installed.
"""

from __future__ import annotations

import ast
import importlib.util
import math
import re
from collections import Counter
from pathlib import Path

import generators
from chains import catalog
from generators.core.generator import ModelInfo
from generators.core.paths import home

K1, B = 1.2, 0.75  # BM25's term saturation and length normalisation
WORDS = re.compile(r"[a-z0-9]+")


def answer(topic: str) -> str:
    """The passage that fits `topic` best, or the overview when none does: a few sentences, plain text.

    A model that is named in full is what the question is about, however much else there is to say of it.
    """
    named = [info for info in generators.infos() if info.name.casefold() in topic.casefold()]
    if len(named) == 1:
        return _of_model(named[0])[1]
    passages = _passages()
    bags = [Counter(_terms(f"{title} {title} {text}")) for title, text in passages]
    mean = sum(bag.total() for bag in bags) / len(bags)
    scores = []
    for bag in bags:
        score = 0.0
        for term in set(_terms(topic)):
            holding = sum(term in other for other in bags)
            if term in bag:
                rarity = math.log(1 + (len(bags) - holding + 0.5) / (holding + 0.5))
                frequency = bag[term]
                score += rarity * frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * bag.total() / mean))
        scores.append(score)
    best = max(range(len(passages)), key=scores.__getitem__)
    return passages[best if scores[best] > 1.0 else 0][1]


def _terms(text: str) -> list[str]:
    """Lower-case words without a plural s and without the words that every question holds."""
    words = WORDS.findall(text.lower().replace("-", " "))
    return [word.removesuffix("s") if len(word) > 3 else word for word in words if word not in _COMMON]


_COMMON = frozenset(
    """
a an and are at be by can could do does for from have how i in is it its me my of on or that the there this to was what
when which who why will with you your about tell explain please
""".split()  # noqa: SIM905
)


def _passages() -> list[tuple[str, str]]:
    infos = generators.infos()
    specs = catalog.tool_specs(infos)
    doing = "; ".join(str(spec["description"]).rstrip(".").lower() for spec in specs if spec["name"] != "about")
    names = ", ".join(info.name for info in infos) or "none yet"
    found = [
        (
            "artwright app overview capabilities help tools",
            "I am Artwright; I run small generative models that were trained on this kind of computer. "
            f"I can: {doing}. Ask in plain words, for instance: draw two sneakers. Trained models here: {names}.",
        ),
        (
            "models list installed trained available",
            "Trained models here: " + ("; ".join(f"{i.name} ({i.family}, on {i.data})" for i in infos) or names) + ".",
        ),
        (
            "train own model data file learn new training",
            "Train a model on a file of your own with: artwright train FAMILY --data FILE --name NAME. The families "
            f"are {', '.join(generators.families())}; a finished model is used in the chat at once, by its name.",
        ),
        (
            "privacy offline local internet cloud network where stored files saved",
            "Everything runs on this computer, without the internet; nothing is sent anywhere. What is made is kept "
            f"in {_tilde(home() / 'store')}, with all it takes to make it again: artwright regenerate FILE.",
        ),
        (
            "seed repeat reproduce regenerate same again provenance",
            "Every result names its model and its seed. The same request with the same seed makes the same thing "
            "again; artwright regenerate FILE does so from the file itself.",
        ),
    ]
    found += [_of_tool(spec) for spec in specs]
    found += [_of_model(info) for info in infos]
    found += [_of_family(name) for name in generators.families()]
    return found


def _tilde(path: Path) -> str:
    """A path as a person writes it, and without their name."""
    return f"~/{path.relative_to(Path.home()).as_posix()}" if path.is_relative_to(Path.home()) else str(path)


def _of_tool(spec: dict[str, object]) -> tuple[str, str]:
    parameters = spec["parameters"]
    assert isinstance(parameters, dict)
    lines = [
        f"{name}{': ' + field['description'] if field.get('description') else ''}"
        for name, field in parameters["properties"].items()
    ]
    title = str(spec["name"]).replace("_", " ")
    return f"{title} tool arguments", f"{title}: {spec['description']} It takes {'; '.join(lines)}."


def _of_model(info: ModelInfo) -> tuple[str, str]:
    text = f"{info.name} is a {info.family} model of {info.parameters:,} parameters, trained on {info.data}."
    if info.labels:
        text += f" It knows {', '.join(info.labels)}."
    for score in info.scores:
        text += f" Held-out {score.metric}: {score.value:.4g} on {score.data} ({score.n:,} scored)."
    return f"model {info.name} {info.data} {' '.join(info.labels)} trained made quality score parameters", text


def _of_family(name: str) -> tuple[str, str]:
    """The docstring of the family's class, read from its file, not imported."""
    module, cls = generators.declared().get(name, ("", ""))
    spec = importlib.util.find_spec(module) if module else None
    if spec is None or spec.origin is None:
        return f"{name} family", f"{name} is a family of models that an installed package adds."
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    node = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls)
    text = " ".join((ast.get_docstring(node) or ast.get_docstring(tree) or name).split("\n\n")[0].split())
    return f"{name} {cls} family work works how", f"{name}: {text.replace('`', '')}"
