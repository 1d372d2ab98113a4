"""LCEL chains that combine generators: an illustrated tale, variations of one request, a contest of models.

Each function returns a LangChain Runnable: `invoke`, `batch`, `stream` and their asynchronous forms work, and a chain
can be piped into others. All are made of `step`, one task as a Runnable; write your own the same way:

    title = step("invent_names") | RunnableLambda(lambda made: made.artifacts[0].content)

A `chains.watch` switch stops a chain as it stops a tool. Wrong arguments raise `RequestError` with one sentence.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, TypeVar

from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough
from pydantic import Field, ValidationError

import generators
from chains import pages
from chains.catalog import serving
from chains.schemas import TASKS, Args, Seed
from chains.tools import Outcome, check, explain, perform
from generators.core.artifact import Artifact
from generators.core.errors import RequestError
from generators.core.generator import TASK_METRICS, ModelInfo

SEEDS = 2**31
MOST = 64  # entries of a comparison
SHOWN = 100  # characters of a text in a table

Asked = Mapping[str, Any]
Asking = Runnable["TaleRequest", dict[str, Any]]
A = TypeVar("A", bound=Args)


def step(task: str) -> Runnable[Asked, Outcome]:
    """One task of the tool table as a Runnable: its arguments in, what was made out.

    `step("write_text").invoke({"words": 20, "seed": 7}).artifacts[0].content`
    """
    return RunnableLambda(lambda args: perform(task, check(task, args)), name=task)


class TaleRequest(Args):
    """What an illustrated tale is asked for with."""

    subject: Annotated[str, Field(max_length=60, description="what the pictures show; some model must know it")]
    pages: Annotated[int, Field(ge=1, le=24, description="how many pictures, each with a verse")] = 3
    words: Annotated[int, Field(ge=5, le=200, description="about how many words a verse has")] = 40
    style: Annotated[str, Field(max_length=40, description="style of the verses")] = "auto"
    kind: Annotated[str, Field(max_length=40, description="kind of the name in the title")] = "any"
    seed: Seed = None


@dataclass(frozen=True)
class Tale:
    """An illustrated tale: its hero's name, and a picture and a verse a page."""

    hero: Artifact
    subject: str
    pictures: tuple[Artifact, ...]
    verses: tuple[Artifact, ...]
    seed: int

    @property
    def name(self) -> str:
        """The hero's name, which is in the title."""
        return str(self.hero.content).splitlines()[0]

    @property
    def artifacts(self) -> list[Artifact]:
        """All that was made: the name, then a picture and a verse a page."""
        return [self.hero, *(part for pair in zip(self.pictures, self.verses, strict=True) for part in pair)]

    def html(self) -> str:
        """The tale as one HTML page that needs no other file."""
        spreads = zip(self.pictures, self.verses, strict=True)
        body = "\n".join(
            pages.spread(picture, f"{self.subject}, picture {number}", str(verse.content))
            for number, (picture, verse) in enumerate(spreads, 1)
        )
        by = sorted({item.provenance.generator for item in self.artifacts if item.provenance})
        count = "a verse" if len(self.verses) == 1 else f"{len(self.verses)} verses"
        pictures = "a picture" if len(self.pictures) == 1 else "pictures"
        footer = f"Made with Artwright by {', '.join(by)}; seed {self.seed}."
        return pages.page(f"The Tale of {self.name}", f"in {count} with {pictures}", body, footer)

    def write(self, path: str | Path) -> Path:
        """Write the page to `path` and return it. Raises OSError."""
        return _write(path, self.html())


def illustrated_tale() -> Runnable[Asked, Tale]:
    """A tale with a hero's name, verses and pictures: `{"subject": "coat", "seed": 7}` in (see `TaleRequest`), a `Tale`
    out, whose `html()` is one self-contained page.

    Each part comes from the model that `auto` chooses, all at the same time. The same seed makes the same tale.
    """
    name: Asking = RunnableLambda(lambda r: {"count": 1, "kind": r.kind, "seed": r.seed})
    picture: Asking = RunnableLambda(lambda r: {"subject": r.subject, "count": r.pages, "seed": r.seed})
    parts = {
        "request": RunnablePassthrough[TaleRequest](),
        "hero": name | step("invent_names"),
        "verses": RunnableLambda(_verses) | step("write_text").map(),
        "pictures": picture | step("generate_image"),
    }
    chain: Runnable[Any, Tale] = RunnableLambda(_tale_request) | RunnableParallel(parts) | RunnableLambda(_bound)
    return chain.with_types(input_type=TaleRequest, output_type=Tale)


def _tale_request(asked: Asked | TaleRequest) -> TaleRequest:
    request = _checked(TaleRequest, asked, "illustrated_tale")
    return request.model_copy(update={"seed": _seed({"seed": request.seed})})


def _verses(request: TaleRequest) -> list[dict[str, Any]]:
    """The arguments of each page's verse."""
    assert request.seed is not None
    return [
        {"style": request.style, "words": request.words, "seed": (request.seed + page) % SEEDS}
        for page in range(request.pages)
    ]


def _bound(made: Mapping[str, Any]) -> Tale:
    """The parts as a tale."""
    request, pictures = made["request"], made["pictures"]
    return Tale(
        hero=made["hero"].artifacts[0],
        subject=str(pictures.request.args.get("subject", request.subject)),
        pictures=tuple(pictures.artifacts),
        verses=tuple(outcome.artifacts[0] for outcome in made["verses"]),
        seed=request.seed,
    )


@dataclass(frozen=True)
class Entry:
    """One call in a comparison, and what came of it.

    `model` is the name of the one that served it. `seconds` is the time of the call; a contest loads its models
    before. `score` is the model's held-out figure by the task's metric and the data it was measured on, "" where there
    is none; figures on different data cannot be compared. `problem` says in one sentence why nothing was made.
    """

    tool: str
    args: Mapping[str, Any]
    model: str = ""
    score: str = ""
    seconds: float = 0.0
    artifacts: tuple[Artifact, ...] = ()
    problem: str = ""

    @property
    def made(self) -> str:
        """What was made, for a table: texts themselves, shortened; of other kinds how many."""
        if not self.artifacts:
            return self.problem
        if self.artifacts[0].medium != "text":
            return f"{len(self.artifacts)} {self.artifacts[0].medium}{'s' if len(self.artifacts) > 1 else ''}"
        text = " / ".join(line for item in self.artifacts for line in str(item.content).splitlines() if line.strip())
        return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


@dataclass(frozen=True)
class Comparison:
    """What several calls of one tool made: `entries` in order, all their `artifacts`, `table()` and `html()`."""

    entries: tuple[Entry, ...]

    @property
    def artifacts(self) -> list[Artifact]:
        """All that was made, in order."""
        return [artifact for entry in self.entries for artifact in entry.artifacts]

    def table(self) -> str:
        """The entries as a Markdown table: the model, the arguments that differ, score, seconds, what was made."""
        head, rows = self._cells()
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join(
            f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in line)} |" for line in lines
        )

    def html(self) -> str:
        """Table and artifacts as one HTML page that needs no other file."""
        shown = [(artifact, _caption(artifact)) for artifact in self.artifacts]
        title = self.entries[0].tool.replace("_", " ").capitalize()
        body = pages.table(*self._cells()) + pages.sheet(shown)
        return pages.page(title, f"{len(self.entries)} calls side by side", body, "Made with Artwright.")

    def write(self, path: str | Path) -> Path:
        """Write the page to `path` and return it. Raises OSError."""
        return _write(path, self.html())

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        names = dict.fromkeys(name for entry in self.entries for name in entry.args if name != "model")
        differing = [name for name in names if len({str(entry.args.get(name)) for entry in self.entries}) > 1]
        scored = ["held-out score"] if any(entry.score for entry in self.entries) else []
        rows = [
            [
                entry.model,
                *(str(entry.args.get(name, "")) for name in differing),
                *(entry.score for _ in scored),
                "" if entry.problem else f"{entry.seconds:.2f}",
                entry.made,
            ]
            for entry in self.entries
        ]
        return ["model", *differing, *scored, "seconds", "made"], rows


class VariationsRequest(Args):
    """What variations are asked for with: a call, and what it is varied over."""

    tool: Annotated[str, Field(max_length=40, description="a tool of `artwright list`")]
    args: dict[str, Any] = Field(default_factory=dict, description="its arguments")
    count: Annotated[int | None, Field(ge=1, le=MOST, description="how many seeds, where they are not listed")] = None
    seeds: Annotated[list[int] | None, Field(min_length=1, max_length=MOST)] = None
    temperatures: Annotated[list[float] | None, Field(min_length=1, max_length=MOST)] = None
    models: Annotated[list[str] | None, Field(min_length=1, max_length=MOST)] = None


def variations() -> Runnable[Asked, Comparison]:
    """One request, again and again: `{"tool": "write_text", "args": {"words": 20}, "temperatures": [0.5, 1]}` in (see
    `VariationsRequest`), a `Comparison` out.

    Varied over `seeds` (or `count` of them from the request's own on: 4, or 1 where something else varies),
    `temperatures` and `models`, in all combinations, 64 at most.
    """
    chain: Runnable[Any, Comparison] = (
        RunnableLambda(_varied) | _one_by_one(_performed) | RunnableLambda(lambda made: Comparison(tuple(made)))
    )
    return chain.with_types(input_type=VariationsRequest, output_type=Comparison)


def _varied(asked: Asked | VariationsRequest) -> list[Entry]:
    """The calls to make, checked."""
    request = _checked(VariationsRequest, asked, "variations")
    _serving(request.tool)
    fields = TASKS[request.tool].model_fields
    lists = {"model": request.models, "temperature": request.temperatures, "seed": request.seeds}
    axes: dict[str, list[Any]] = {name: list(values) for name, values in lists.items() if values is not None}
    if odd := [name for name in axes if name not in fields]:
        raise RequestError(f"{request.tool} takes no {odd[0]}; leave {odd[0]}s out.")
    check(request.tool, request.args)
    if "seed" in fields and "seed" not in axes:
        first = _seed(request.args)
        count = request.count or (1 if axes else 4)
        axes["seed"] = [(first + i) % SEEDS for i in range(count)]
    calls = [{**request.args, **dict(zip(axes, values, strict=True))} for values in product(*axes.values())]
    if not 2 <= len(calls) <= MOST:
        raise RequestError(f"That makes {len(calls)} of {request.tool}; variations are 2 to {MOST}.")
    for args in calls:
        check(request.tool, args)
    return [Entry(request.tool, args) for args in calls]


class ContestRequest(Args):
    """What a contest is asked for with: a call that every model makes."""

    tool: Annotated[str, Field(max_length=40, description="a tool of `artwright list`")]
    args: dict[str, Any] = Field(default_factory=dict, description="its arguments, without a model")
    models: Annotated[list[str] | None, Field(min_length=1, description="their names; all by default")] = None


def contest() -> Runnable[Asked, Comparison]:
    """Every model that serves a tool on one request: `{"tool": "invent_names", "args": {"count": 3}}` in (see
    `ContestRequest`), a `Comparison` out, with each model's held-out score and seconds.

    All get the same seed and run one after the other. One that cannot serve the request says why, in `problem`.
    """
    chain: Runnable[Any, Comparison] = (
        RunnableLambda(_invited) | _one_by_one(_competed) | RunnableLambda(lambda made: Comparison(tuple(made)))
    )
    return chain.with_types(input_type=ContestRequest, output_type=Comparison)


def _invited(asked: Asked | ContestRequest) -> list[Entry]:
    """The calls to make, one a model, checked."""
    request = _checked(ContestRequest, asked, "contest")
    infos = {info.name: info for info in _serving(request.tool)}
    if "model" in request.args:
        raise RequestError("A contest is between models; leave model out of args, and list some in models.")
    if unknown := [name for name in request.models or () if name not in infos]:
        raise RequestError(f"{unknown[0]!r} does not serve {request.tool}; there are {', '.join(infos)}.")
    args = dict(request.args)
    check(request.tool, args)
    if "seed" in TASKS[request.tool].model_fields:
        args["seed"] = _seed(args)
    return [Entry(request.tool, args, name, _score(request.tool, infos[name])) for name in request.models or infos]


def _competed(entry: Entry) -> Entry:
    """The entry with what its model made, or why it made nothing."""
    try:
        generators.load(entry.model)
        return _performed(entry)
    except ValueError as error:
        return replace(entry, problem=" ".join(str(error).split()))


def _performed(entry: Entry) -> Entry:
    """The entry with what was made. Raises `RequestError`."""
    checked = check(entry.tool, entry.args)
    began = time.perf_counter()
    outcome = perform(entry.tool, checked, model=entry.model)
    seconds = time.perf_counter() - began
    return replace(entry, model=outcome.model.name, seconds=seconds, artifacts=tuple(outcome.artifacts))


def _one_by_one(work: Callable[[Entry], Entry]) -> Runnable[list[Entry], list[Entry]]:
    """`work` on each entry in turn: times are compared, and models share the processor."""
    each: Runnable[list[Entry], list[Entry]] = RunnableLambda(work).map()
    return each.with_config(max_concurrency=1)


def _serving(tool: str) -> list[ModelInfo]:
    """The models that serve a tool. Raises `RequestError` that lists the tools which models serve."""
    if infos := serving(tool) if tool in TASKS else []:
        return infos
    there = [task for task in TASKS if serving(task)]
    raise RequestError(f"No trained model serves {tool!r}; there are models for {', '.join(there) or 'nothing yet'}.")


def _score(tool: str, info: ModelInfo) -> str:
    """The model's figure by the task's metric, with its data."""
    found = [score for score in info.scores if score.metric == TASK_METRICS.get(tool)]
    return f"{found[0].value:.4g} {found[0].metric} ({found[0].data})" if found else ""


def _checked(kind: type[A], asked: Asked | A, name: str) -> A:
    """The request, checked. Raises `RequestError` with one sentence."""
    try:
        return asked if isinstance(asked, kind) else kind.model_validate(dict(asked))
    except ValidationError as error:
        raise RequestError(explain(name, error)) from error
    except (TypeError, ValueError):
        raise RequestError(f"{name} takes a mapping of {', '.join(kind.model_fields)}, not {asked!r}.") from None


def _seed(args: Asked) -> int:
    """The seed that was given, or one that is drawn now."""
    given = args.get("seed")
    return secrets.randbelow(SEEDS) if given is None else int(given)


def _caption(artifact: Artifact) -> str:
    how = artifact.provenance
    return f"{how.generator}, seed {how.seed}" if how else ""


def _write(path: str | Path, html: str) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")
    return path
