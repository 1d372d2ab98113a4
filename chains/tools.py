"""Generators as LangChain tools.

A tool is a task: its arguments come from `chains.schemas`, the model that serves a call from `chains.catalog`. A call
returns one honest sentence and, as the message's artifact, references to what was made; never bytes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo

import generators
from chains import catalog, watch
from chains.schemas import TASKS, Args
from chains.store import Store
from chains.watch import watching
from generators.core.artifact import Artifact
from generators.core.errors import CheckpointError, RequestError
from generators.core.generator import ModelInfo, Partial, Request
from generators.core.inputs import is_id, reading
from generators.core.labels import match_label

if TYPE_CHECKING:
    from collections.abc import Mapping

# Arguments that are a stored picture's id, or for a morph a label.
PICTURES = {"morph_images": ("start", "end"), "vary_image": ("image",), "complete_image": ("image",)}

__all__ = ["Outcome", "check", "explain", "generator_tool", "make", "perform", "tools", "watching"]


@dataclass(frozen=True)
class Outcome:
    """What a task made: its sentence, the artifacts in order, and the model and seed that made them."""

    artifacts: list[Artifact]
    model: ModelInfo
    seed: int
    request: Request
    notices: list[str] = field(default_factory=list)

    def sentence(self, ids: list[str]) -> str:
        """One honest sentence for the person and the LLM."""
        said = _SENTENCES.get(self.request.task, _made)(self)
        where = f" ({'id' if len(ids) == 1 else 'ids'} {', '.join(ids[:4])}{', ...' if len(ids) > 4 else ''})"
        return " ".join([f"{said}{where}.", *self.notices])


def perform(task: str, args: Args, store: Store | None = None, model: str = "") -> Outcome:
    """Serve a task with checked arguments: choose the model, draw, collect. Raises `RequestError`, `Cancelled`.

    `model`: by name, the one to serve it in place of the one that the arguments choose. Pictures that the arguments
    name by id are taken from `store`, by default the app's.
    """
    kept = store or Store()
    values = args.model_dump(exclude_none=True)
    seed = values.pop("seed", None)
    seed = secrets.randbelow(2**31) if seed is None else int(seed)
    asked_for = str(values.pop("model", "auto"))
    model = model or asked_for
    given = {name: str(values.get(name) or "") for name in catalog.KNOWN_BY.get(task, ())}
    shown = {name: str(values[name]) for name in PICTURES.get(task, ()) if is_id(str(values.get(name)))}
    asked = {name: word for name, word in given.items() if name not in shown and word not in ("", "auto", "any")}
    data = _data_of(task, list(shown.values()), kept) if shown and model == "auto" else ""
    info, words = catalog.choose(task, model, asked, data)
    values.update(words)
    for name, word in shown.items():
        if not match_label(word, info.labels):
            values[name] = kept.get(word).id  # in full: the start of an id may fit another picture later
    request = Request(task, {key: value for key, value in values.items() if value not in ("", "auto", "any")})
    generator = generators.load(info.name)
    report = watch.listener()
    wanted = int(values.get("count") or values.get("frames") or 0) if info.medium == "image" else 0
    outcome = Outcome([], info, seed, request)
    with reading(lambda identifier: kept.get(identifier).open()):
        for item in generator.generate(request, seed=seed, cancel=watch.switch()):
            if isinstance(item, Artifact):
                outcome.artifacts.append(item)
                if report and wanted > 1:
                    done = len(outcome.artifacts)
                    report(Partial(f"{done} of {wanted} pictures", done, wanted))
            elif item.total:
                if report:
                    report(item)
            else:
                outcome.notices.append(item.message)
    return outcome


def _data_of(task: str, identifiers: list[str], store: Store) -> str:
    """The data that models of the first of these pictures learned from, "" where there is no telling.

    That is the data of the model that drew it. A picture from elsewhere, or of a model whose kind serves no such task,
    counts as of the data whose model explains it best: its reconstruction is the nearest.
    """
    for identifier in identifiers:
        try:
            picture = store.get(identifier).open()
        except RequestError:
            continue  # a label that is spelled like an id, or an error that the generator will explain
        if picture.medium != "image":
            continue
        drawn = picture.provenance and next(
            (info for info in generators.infos() if info.name == picture.provenance.generator), None
        )
        if drawn and any(info.data == drawn.data for info in catalog.serving(task)):
            return drawn.data
        return _explaining(task, picture.content)
    return ""


def _explaining(task: str, pixels: Any) -> str:
    """The data whose models explain a picture best, by the mean difference between it and its reconstruction."""
    from generators.core.pictures import PictureModel

    best, found = float("inf"), ""
    for info in catalog.serving(task):
        if any(score.metric == "neg_elbo_nats" for score in info.scores):  # an encoder: it takes no search
            with suppress(CheckpointError):  # of a damaged one the request itself will tell, if it is chosen
                model = generators.load(info.name)
                if isinstance(model, PictureModel) and (apart := model.apart(pixels, watch.switch())) < best:
                    best, found = apart, info.data
    return found


def make(tool: str, **arguments: Any) -> list[Artifact]:
    """What a tool makes, as artifacts: `make("generate_image", subject="sneaker", count=2)`. Raises `RequestError`."""
    return perform(tool, check(tool, arguments)).artifacts


def check(task: str, arguments: Mapping[str, Any]) -> Args:
    """The arguments of a task, checked against its schema. Raises `RequestError` with one clear sentence."""
    if task not in TASKS:
        raise RequestError(f"There is no tool {task!r}; there are {', '.join(TASKS)}.")
    try:
        return TASKS[task].model_validate(dict(arguments))
    except ValidationError as error:
        raise RequestError(explain(task, error)) from error


def explain(task: str, error: ValidationError) -> str:
    """A validation error as one sentence: which argument, what was given, what is allowed."""
    problems = []
    for detail in error.errors():
        place = ".".join(str(part) for part in detail["loc"]) or "arguments"
        if detail["type"] == "missing":
            problems.append(f"{place} is missing")
        elif detail["type"] == "extra_forbidden":
            known = ", ".join(TASKS[task].model_fields) if task in TASKS else "its arguments"
            problems.append(f"{place} is not one of {known}")
        else:
            problems.append(f"{place}={detail['input']!r}: {detail['msg'][0].lower()}{detail['msg'][1:]}")
    return f"{task} cannot take that: {'; '.join(dict.fromkeys(problems))}."


def tools(store: Store | None = None) -> dict[str, BaseTool]:
    """The app's tools by name: one for every task that a trained model serves, and `about`."""
    infos = generators.infos()
    kept = store or Store()
    made: dict[str, BaseTool] = {}
    for spec in catalog.tool_specs(infos):
        task = spec["name"]
        schema = _narrowed(task, spec["parameters"])
        made[task] = _about_tool(spec, schema) if task == "about" else _task_tool(task, task, spec, schema, kept)
    return made


def generator_tool(name: str, task: str | None = None, store: Store | None = None) -> BaseTool:
    """One trained model as a tool of its own: `generator_tool("vae-fashion").invoke({"subject": "coat"})`.

    It serves `task`, by default the first of its tasks in the tool table; the tool's name is the model's with `_`.
    Raises ValueError for an unknown model or a task it does not serve.
    """
    from generators.core.generator import read_info

    if name not in (folders := generators.folders()):
        raise RequestError(f"There is no model {name!r}; there are {', '.join(sorted(folders)) or 'none yet'}.")
    info = replace(read_info(folders[name]), name=name)
    task = task or next(known for known in TASKS if known in info.tasks)
    if task not in info.tasks:
        raise RequestError(f"{info.name} does not serve {task}; it serves {', '.join(info.tasks)}.")
    spec = next(spec for spec in catalog.tool_specs([info]) if spec["name"] == task)
    schema = _narrowed(task, spec["parameters"])
    return _task_tool(info.name.replace("-", "_"), task, spec, schema, store or Store(), model=info.name)


def _task_tool(
    name: str, task: str, spec: Mapping[str, Any], schema: type[BaseModel], store: Store, model: str = ""
) -> BaseTool:
    def serve(**arguments: Any) -> tuple[str, list[dict[str, str]]]:
        if model and arguments.get("model", "auto") not in ("auto", model):
            raise RequestError(f"{name} is a tool of the model {model} alone; leave model out.")
        outcome = perform(task, check(task, arguments), store, model)
        kept = [store.put(artifact) for artifact in outcome.artifacts]
        return outcome.sentence([item.id for item in kept]), [item.reference() for item in kept]

    return StructuredTool.from_function(
        func=serve,
        name=name,
        description=spec["description"],
        args_schema=schema,
        response_format="content_and_artifact",
        infer_schema=False,
    )


def _about_tool(spec: Mapping[str, Any], schema: type[BaseModel]) -> BaseTool:
    from chains.about import answer

    def about(topic: str) -> tuple[str, list[dict[str, str]]]:
        return answer(topic), []

    return StructuredTool.from_function(
        func=about,
        name="about",
        description=spec["description"],
        args_schema=schema,
        response_format="content_and_artifact",
        infer_schema=False,
    )


def _narrowed(task: str, parameters: Mapping[str, Any]) -> type[BaseModel]:
    """The task's argument model with the descriptions of `parameters`, which say what the installed models know."""
    base = TASKS[task]
    fields: dict[str, Any] = {}
    for name, field_info in base.model_fields.items():
        described = parameters["properties"][name].get("description")
        if described != field_info.description:
            changed = FieldInfo.merge_field_infos(field_info, description=described)
            fields[name] = (field_info.annotation, changed)
    return create_model(base.__name__, __base__=base, __doc__=base.__doc__, **fields) if fields else base


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _by(outcome: Outcome) -> str:
    return f"with {outcome.model.name}, seed {outcome.seed}"


def _drew(outcome: Outcome) -> str:
    # Words that the model cannot know are not what it drew, as its notice says.
    subject = outcome.request.args.get("subject") if outcome.model.labels or not outcome.notices else ""
    of = f" of {subject}" if subject else ""
    return f"Drew {_count(len(outcome.artifacts), 'picture')}{of} {_by(outcome)}"


def _morphed(outcome: Outcome) -> str:
    args = outcome.request.args
    steps = _count(len(outcome.artifacts), "picture")
    return f"Morphed {args.get('start')} into {args.get('end')} in {steps} {_by(outcome)}"


def _varied(outcome: Outcome) -> str:
    image = str(outcome.request.args.get("image"))[:12]
    return f"Made {_count(len(outcome.artifacts), 'variation')} of {image} {_by(outcome)}"


def _wrote(outcome: Outcome) -> str:
    words = sum(len(str(item.content).split()) for item in outcome.artifacts)
    return f"Wrote {_count(words, 'word')} {_by(outcome)}"


def _coded(outcome: Outcome) -> str:
    lines = sum(len(str(item.content).splitlines()) for item in outcome.artifacts)
    return f"Wrote {_count(lines, 'line')} of Python {_by(outcome)}"


def _filled(outcome: Outcome) -> str:
    return f"Filled the blanks {_by(outcome)}: {outcome.artifacts[0].content}"


def _named(outcome: Outcome) -> str:
    names = [name for item in outcome.artifacts for name in str(item.content).splitlines()]
    return f"Invented {_count(len(names), 'name')} {_by(outcome)}: {', '.join(names)}"


def _made(outcome: Outcome) -> str:
    return f"Made {_count(len(outcome.artifacts), outcome.model.medium)} {_by(outcome)}"


_SENTENCES: dict[str, Callable[[Outcome], str]] = {
    "generate_image": _drew,
    "morph_images": _morphed,
    "vary_image": _varied,
    "write_text": _wrote,
    "write_code": _coded,
    "fill_blanks": _filled,
    "invent_names": _named,
}
