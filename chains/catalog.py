"""Which tools there are and which model serves a request, read from the trained models' config.json files.

Light on purpose: no torch and no langchain, so that `artwright list` answers at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import generators
from chains.schemas import TASKS, describe
from generators.core.errors import RequestError
from generators.core.generator import TASK_METRICS, ModelInfo
from generators.core.labels import match_label

# The arguments of a task that a model has to know, and the words for them in an error.
KNOWN_BY: dict[str, tuple[str, ...]] = {
    "generate_image": ("subject",),
    "morph_images": ("start", "end"),
    "write_text": ("style",),
    "invent_names": ("kind",),
}
# Tasks whose models serve a word they do not know as well, and say in a notice that they leave it out.
FREE = frozenset({"write_text"})


def vocabulary(info: ModelInfo, task: str) -> list[str]:
    """What a model knows of its task's open arguments: its labels, and without any a text model the style it writes.

    That, like what a model of pictures draws that had no labels, is what its data is called: `dcgan-pets` draws pets.
    """
    if not info.labels and (task == "write_text" or info.medium == "image"):
        return [info.name.split("-", 1)[-1]]
    return info.labels


def serving(task: str, infos: list[ModelInfo] | None = None) -> list[ModelInfo]:
    """The trained models that serve a task."""
    return [info for info in (generators.infos() if infos is None else infos) if task in info.tasks]


def tool_specs(infos: list[ModelInfo] | None = None) -> list[dict[str, Any]]:
    """The tools that the trained models serve, and `about`, each `{"name", "description", "parameters"}`."""
    infos = generators.infos() if infos is None else infos
    specs = []
    for task in TASKS:
        served = serving(task, infos)
        if served or task == "about":
            arguments = KNOWN_BY.get(task, ())
            # Two arguments with the same words would tell the LLM twice, at twice the length of the prompt.
            named = [info for info in served if info.labels]  # what data is called is no kind of thing, but a style
            labelled = served if task in FREE else named or served
            known = {arguments[0]: _words(task, labelled)} if len(arguments) == 1 else None
            specs.append(describe(task, known))
    return specs


def listing() -> dict[str, list[dict[str, Any]]]:
    """Every tool and every trained model, as `artwright list --json` prints them."""
    infos = generators.infos()
    tools = [
        {"name": spec["name"], "description": spec["description"], "args": spec["parameters"]}
        for spec in tool_specs(infos)
    ]
    keep = ("name", "family", "kinds", "medium", "tasks", "labels", "data", "licence", "parameters", "scores")
    models = [{key: value for key, value in asdict(info).items() if key in keep} for info in infos]
    return {"tools": tools, "models": models}


def choose(
    task: str, model: str = "auto", given: Mapping[str, str] = MappingProxyType({}), data: str = ""
) -> tuple[ModelInfo, dict[str, str]]:
    """The model that serves `task`, and the words of `given` as that model spells them.

    `model` is a full name, a family, a kind, or `auto`. `given` holds those of the task's `KNOWN_BY` that
    were given a word, `{"start": "Coats", "end": "bag"}`. Of the models that know them all, the best by `_rank`; with
    `data`, of those among them that learned from it, if there are any. Where none knows them, the best of those that
    learned without labels, if there are no others (of that name), or, for a task in `FREE`, of all: its words are left
    as they are, for the model to say that it leaves them out. Raises `RequestError` that lists what there is.
    """
    served = serving(task)
    if not served:
        raise RequestError(f"No trained model serves {task} yet; train one with `artwright train`.")
    wanted = model.strip().casefold().removeprefix("the ").replace(" ", "-")
    if wanted != "auto":
        names = [info for info in served if info.name.casefold() == wanted]
        kin = [info for info in served if wanted in (info.family, *info.kinds)]
        if not (names or kin):
            there = ", ".join(sorted({info.name for info in served} | {info.family for info in served}))
            raise RequestError(f"There is no model {model!r} for {task}; there are {there}.")
        served = names or kin
    spelled = {info.name: _spelled(info, task, given) for info in served}
    knowing = [info for info in served if len(spelled[info.name]) == len(given)]
    if not knowing:
        mute = [info for info in served if not info.labels]
        knowing = served if task in FREE else mute if len(mute) == len(served) else []
    if not knowing:
        raise RequestError(_unknown(task, served, given))
    knowing = [info for info in knowing if data and info.data == data] or knowing
    best = min(knowing, key=_rank(task, knowing))
    return best, {**given, **spelled[best.name]}


def _spelled(info: ModelInfo, task: str, given: Mapping[str, str]) -> dict[str, str]:
    """The words that a model knows, as it spells them. The name of its data is a style of a text model too."""
    known = vocabulary(info, task) + ([info.data] if task == "write_text" else [])
    return {name: found for name, word in given.items() if (found := match_label(word, known))}


def _words(task: str, infos: list[ModelInfo]) -> list[str]:
    """What any of the models knows, each word once."""
    return list(dict.fromkeys(word for info in infos for word in vocabulary(info, task)))


def _unknown(task: str, served: list[ModelInfo], given: Mapping[str, str]) -> str:
    """Why no model qualifies: a word that none of them knows, or words that no single one knows together."""
    words = ", ".join(_words(task, served))
    for name, word in given.items():
        if not any(_spelled(info, task, {name: word}) for info in served):
            return f"No model here knows the {name} {word!r}; they know {words}."
    pairs = " and ".join(f"the {name} {word!r}" for name, word in given.items())
    known = "; ".join(f"{info.name} knows {', '.join(vocabulary(info, task))}" for info in served)
    return f"No single model here knows {pairs}: {known}."


def _rank(task: str, rivals: list[ModelInfo]) -> Callable[[ModelInfo], tuple[float, tuple[int, ...], str]]:
    """A sort key, best first, that compares only what can be compared.

    Figures on different data say nothing about each other, so the task's metric counts on one evaluation set alone:
    the one that most rivals were measured on, if at least two of them were (ties go to the smaller model, which is
    faster). Rivals without that figure come after it, and where no set is shared that is all of them. Their order is
    a guess that does not hang on their names: shipped models first, whose data is known; then measured before
    unmeasured; then the larger. The name decides only between models that are alike in all of this.
    """
    metric = TASK_METRICS.get(task)
    figures = {info.name: {s.data: s.value for s in info.scores if s.metric == metric} for info in rivals}
    measured = Counter(data for sets in figures.values() for data in sets)
    shared = max(sorted(measured), key=measured.__getitem__, default="")
    comparable = measured[shared] >= 2

    def key(info: ModelInfo) -> tuple[float, tuple[int, ...], str]:
        own = figures[info.name]
        if comparable and shared in own:
            return own[shared], (info.parameters,), info.name
        shipped = (generators.PRETRAINED / info.name / "config.json").is_file()
        return float("inf"), (not shipped, not own, -info.parameters), info.name

    return key
