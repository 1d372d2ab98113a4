"""Which tools there are and which model serves a request, read from the trained models' config.json files.

Light on purpose: no torch and no langchain, so that `artwright list` answers at once.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import generators
from chains.schemas import TASKS, describe
from generators.core.errors import RequestError
from generators.core.generator import TASK_METRICS, ModelInfo
from generators.core.labels import match_label

# The argument of a task that some model has to know, and the word for it in an error.
KNOWN_BY: dict[str, str] = {"generate_image": "subject", "write_text": "style", "invent_names": "kind"}


def vocabulary(info: ModelInfo, task: str) -> list[str]:
    """What a model knows of its task's open argument: its labels, and for a text model the style it writes."""
    if task == "write_text":
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
            argument = KNOWN_BY.get(task)
            words = dict.fromkeys(word for info in served for word in vocabulary(info, task))
            specs.append(describe(task, {argument: list(words)} if argument else None))
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


def choose(task: str, model: str = "auto", known: str | None = None) -> tuple[ModelInfo, str | None]:
    """The model that serves `task`, and the word for `known` (a subject, style or kind) as that model spells it.

    `model` is a full name, a family, a kind, or `auto`. Of the models that know the word, the best by the task's one
    metric on the evaluation set most of them share; unscored ones come last, ties go to the smaller. Raises
    `RequestError` that lists what there is.
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
    if known is None:
        return min(served, key=_rank(task, served)), None
    knowing = [(info, word) for info in served if (word := match_label(known, vocabulary(info, task)))]
    if not knowing:
        open_ended = [info for info in served if not vocabulary(info, task)]
        if open_ended:
            return min(open_ended, key=_rank(task, open_ended)), known
        argument = KNOWN_BY.get(task, "subject")
        words = dict.fromkeys(word for info in served for word in vocabulary(info, task))
        raise RequestError(f"No model here knows the {argument} {known!r}; they know {', '.join(words)}.")
    best = min((info for info, _ in knowing), key=_rank(task, [info for info, _ in knowing]))
    return best, next(word for info, word in knowing if info is best)


def _rank(task: str, rivals: list[ModelInfo]) -> Any:
    """A sort key, best first: the task's metric on the evaluation set that most of the rivals share, then size."""
    metric = TASK_METRICS.get(task)
    sets = [score.data for info in rivals for score in info.scores if score.metric == metric]
    shared = max(dict.fromkeys(sets), key=sets.count, default=None)

    def key(info: ModelInfo) -> tuple[float, int]:
        values = [score.value for score in info.scores if score.metric == metric and score.data == shared]
        return (min(values, default=float("inf")), info.parameters)

    return key
