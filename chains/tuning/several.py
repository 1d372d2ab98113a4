"""Several tasks in one message, and the calls that they mean, in the order in which they are to run.

* Each task is one call, also where one tool serves them all: "two coats and a bag" are two calls.
* A task keeps what an earlier one said only where the words say so ("5 surnames with Ka, 5 with Lo", "one with seed 7",
  "both with seed 3", "ten of each", "write about it"); what is said last may belong to any ("seed 4 for the coat").
* "before you X, do Y" runs Y first.
* "and" alone makes no second task: "a cup and saucer", "a black and white shirt", "a text about war and peace".
"""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random
from typing import Any

from chains.prompting import Turn
from chains.schemas import TASKS
from chains.tuning import grammar
from chains.tuning.grammar import END, Noun, expand, sections
from chains.tuning.pieces import Piece, Said, Task, frames, make_piece
from chains.tuning.toollists import SERVED, ShownTool
from chains.tuning.whole import whole
from chains.tuning.writer import Example, Writer

_TRIES = 40  # draws until tasks fit one another; lists with hardly any tools may never offer two
_SEPARATE = ("fill_blanks", "harmonize_melody", "write_code", "complete_image")
_FREE_VERBS = (
    "",
    "I",
    "my",
    "these",
    "still",
    "for",
    "pictures",
    "a",
    "i",
    "can",
    "could",
    "let",
    "let's",
    "we",
    "how",
    "wanted:",
    "here",
    "to",
    "please",
    "names",
    "what",
    "what's",
    "gaps",
    "voices",
    "want",
    "need",
    "two",
    "put",
    "any",
    "would",
)


def pick(writer: Writer, pool: list[ShownTool]) -> ShownTool:
    """One of `pool`, in a long list more often one that most lists lack, so that all come up alike."""
    if any(tool.plugin is not None for tool in pool):
        return writer.pick(pool)
    rare = [tool for tool in pool if tool.task in TASKS and tool.task not in SERVED]
    return writer.pick(rare if rare and len(rare) < len(pool) and writer.rng.random() < _RARE else pool)


_RARE = 0.75


def several(writer: Writer) -> Example:
    """Two or three tasks; now and then one that only sounds like two."""
    luck = writer.rng.random()
    if luck < 0.14 and (one := _single(writer)):
        return one
    ways = {_same_tool: 28, _nouns: 20, _imperatives: 28, _pronoun: 8, _of_each: 4, whole: 24}
    for way in writer.rng.choices(list(ways), list(ways.values()), k=_TRIES):
        said = way(writer)
        if said:
            text, tasks, imperative = said
            calls = [writer.call(task.tool, task.args) for task in tasks]
            if any(call in calls[:i] for i, call in enumerate(calls)):
                continue
            return Example([Turn("user", _finish(writer, text, imperative))], calls, "multi")
    text, call, _ = writer.single(writer.pick())
    return Example([Turn("user", text)], [call], "tool")


def _finish(writer: Writer, text: str, imperative: bool) -> str:
    """Context around it, punctuation, slips."""
    rng = writer.rng
    broken = "\n" in text or ". " in text or text[:1] in "-1"
    if not broken and rng.random() < 0.13 and not text.endswith(END):
        text = rng.choice(frames("contexts", writer.split)).replace("*", text)
        broken = True
    return writer.say(text, imperative and not broken and rng.random() < 0.6, wrap=not broken)


def _number_of_tasks(rng: Random) -> int:
    return 3 if rng.random() < 0.26 else 2


def _same_tool(writer: Writer) -> Said | None:
    """ "draw a coat and two bags", "5 surnames with Ka, 5 with Lo"."""
    rng = writer.rng
    pool = [tool for tool in writer.tools if f"same {tool.task}" in sections("several.txt")]
    if not pool:
        return None
    tool = pick(writer, pool)
    verb, *patterns = (part.strip() for part in rng.choice(frames(f"same {tool.task}", writer.split)).split("<="))
    tasks: list[Task] = []
    for i in range(2 if "{swap}" in patterns[-1] else _number_of_tasks(rng)):
        before = tasks[-1].args if i and len(patterns) > 1 else None
        task = make_piece(writer, tool, patterns[min(i, len(patterns) - 1)], before)
        if task is None or task.args in [t.args for t in tasks] or (i == 0 and task.text.endswith(END)):
            return None
        subjects = [t.args.get("subject") for t in tasks]
        if len(patterns) == 1 and task.args.get("subject") in subjects and "seed" not in task.args:
            return None
        tasks.append(task)
    imperative = verb.split(" ")[0] not in _FREE_VERBS
    if tool.task == "generate_image" and len(patterns) == 1 and len(tasks) == 3 and rng.random() < 0.25:
        a, b, c = (task.text for task in tasks)
        text = rng.choice(frames("corrections", writer.split)).format(a=a, b=b, c=c)
        return f"{verb} {text}".strip(), [tasks[0], tasks[2]], False
    text = f"{verb} {_linked(writer, [t.text for t in tasks])}".strip()
    if tool.task in _SEPARATE and rng.random() < 0.25:
        return rng.choice(frames("separately", writer.split)).replace("*", text), tasks, False
    text, tasks = _added(writer, text, tasks)
    return text, tasks, imperative


def _linked(writer: Writer, parts: list[str]) -> str:
    """Nouns in a row."""
    rng = writer.rng
    if rng.random() < 0.62:
        return grammar.listing(parts, rng)
    link = rng.choice(frames("links", writer.split)).removeprefix("*")
    return ", ".join(parts[:-1]) + f"{link} {parts[-1]}"


def _added(writer: Writer, text: str, tasks: list[Task]) -> tuple[str, list[Task]]:
    """Now and then an argument said at the end, of all tasks or of one of them."""
    if text.endswith(END):
        return text, tasks
    luck = writer.rng.random()
    if luck < 0.12:
        return _shared(writer, text, tasks)
    return _later(writer, text, tasks) if luck < 0.24 else (text, tasks)


def _lacks(task: Task, name: str) -> bool:
    """Whether a task of the app's own could be told its seed or model, and is not."""
    known = task.tool.schema["parameters"].get("properties") or {}
    return task.tool.task in TASKS and name in known and name not in task.args


def _shared(writer: Writer, text: str, tasks: list[Task]) -> tuple[str, list[Task]]:
    """An argument said once for all of them."""
    rng = writer.rng
    name = rng.choice(("seed", "seed", "model"))
    if not all(_lacks(task, name) for task in tasks):
        return text, tasks
    piece = Piece(writer, tasks[0].tool)
    section = f"shared {name}" + (" of three" if len(tasks) == 3 else "")
    text = expand(rng.choice(frames(section, writer.split)), rng, lambda _: piece.fill(name)).replace("*", text)
    return text, [replace(task, args={**task.args, **piece.args}) for task in tasks]


_MEDIUM = {
    **dict.fromkeys(("generate_image", "morph_images", "vary_image", "complete_image", "make_video"), "pictures"),
    **dict.fromkeys(("compose_music", "harmonize_melody", "make_sound"), "sound"),
    **dict.fromkeys(("write_text", "fill_blanks", "write_code"), "text"),
}


def _later(writer: Writer, text: str, tasks: list[Task]) -> tuple[str, list[Task]]:
    """An argument of one task said after all of them: "a coat and some names, seed 4 for the coat"."""
    rng = writer.rng
    name = rng.choice(("seed", "seed", "model"))
    i = rng.randrange(len(tasks))
    task = tasks[i]
    if not _lacks(task, name):
        return text, tasks
    which = ["the first[ one|]", "the second[ one|]", "the third[ one|]"][i]
    ways = [which, "the last[ one|]" if i + 1 == len(tasks) else which]
    subject = task.args.get("subject")
    if task.noun and sum(other.args.get("subject") == subject for other in tasks) == 1:
        ways += [f"the {task.noun}"] * 3
    referred = f"referred {task.tool.task}"
    kinds = [_MEDIUM.get(other.tool.task, other.tool.task) for other in tasks]
    if referred in sections("several.txt") and kinds.count(kinds[i]) == 1:
        ways += frames(referred, writer.split)
    it = rng.choice(ways)
    piece = Piece(writer, task.tool)
    said = {"v": lambda: piece.fill(name), "it": lambda: expand(it, rng, piece.fill)}
    frame = rng.choice(frames(f"later {name}", writer.split))
    text = expand(frame, rng, lambda slot: said[slot]()).replace("*", text)
    return text, [replace(t, args={**t.args, **piece.args}) if t is task else t for t in tasks]


def _of_each(writer: Writer) -> Said | None:
    """One number for all: "coats and surnames, ten of each"."""
    rng = writer.rng
    pool = [tool for tool in writer.tools if f"each {tool.task}" in sections("several.txt")]
    pool = [tool for tool in pool if "count" in tool.schema["parameters"]["properties"]]
    if not pool:
        return None
    tasks: list[Task] = []
    for _ in range(_number_of_tasks(rng)):
        tool = pick(writer, pool)
        task = make_piece(writer, tool, rng.choice(frames(f"each {tool.task}", writer.split)))
        if task is None or task.args in [t.args for t in tasks] or "count" in task.args:
            return None
        tasks.append(task)
    number = Piece(writer, tasks[0].tool)
    some = grammar.listing([task.text for task in tasks], rng)
    said = {"n": lambda: number.fill("num"), "some": lambda: some}
    text = expand(rng.choice(frames("of each", writer.split)), rng, lambda slot: said[slot]())
    return text, [replace(task, args={**task.args, **number.args}) for task in tasks], False


def _noun(writer: Writer, tool: ShownTool) -> Task | None:
    if f"part {tool.task}" not in sections("several.txt"):
        return None
    pattern = writer.rng.choice(frames(f"part {tool.task}", writer.split))
    if writer.rng.random() < 0.13:
        aside = writer.rng.choice(frames("asides", writer.split)).replace("*", pattern)
        if (task := make_piece(writer, tool, aside)) and not re.search(f"{END}.", task.text):
            return task
    return make_piece(writer, tool, pattern)


def _nouns(writer: Writer) -> Said | None:
    """Things, mostly of different tools, behind one verb: "I need two sneakers, three names and a psalm"."""
    rng = writer.rng
    pool = [tool for tool in writer.tools if f"part {tool.task}" in sections("several.txt")]
    if len(pool) < 2:
        return None
    tasks: list[Task] = []
    for _ in range(_number_of_tasks(rng)):
        again = bool(tasks) and rng.random() < 0.15
        left = [tool for tool in pool if not tasks or tool is not tasks[-1].tool]
        task = _noun(writer, tasks[-1].tool if again else pick(writer, left))
        if task is None or task.text.endswith(END) or (task.noun and task.noun in [t.noun for t in tasks]):
            return None
        tasks.append(task)
    for name in ("seed", "model"):  # "a coat and a bag with seed 5" leaves open whose it is
        if name in tasks[-1].args and not all(name in task.args for task in tasks):
            return None
    if len(tasks) == 2 and rng.random() < 0.35:
        pattern = rng.choice(frames("noun pairs", writer.split)).replace("\\n", "\n")
        return expand(pattern, rng, lambda slot: tasks["ab".index(slot)].text), tasks, False
    verb = rng.choice([*frames("verb any", writer.split), *([""] * 6)])
    text = f"{verb} {_linked(writer, [t.text for t in tasks])}".strip()
    text, tasks = _added(writer, text, tasks)
    return text, tasks, verb.split(" ")[0] not in _FREE_VERBS and not verb.endswith(":")


def _imperative(writer: Writer, tool: ShownTool, opened: bool) -> Task | None:
    """ "draw a coat": short, or as a request of its own would say it."""
    rng = writer.rng
    if tool.task == "about":
        topic, _, said = rng.choice(frames("tell about", writer.split)).partition(" <= ")
        task = make_piece(writer, tool, said.replace("{concept}", "{asked}"))
        return task and Task(task.text, tool, {"topic": task.args.get("topic", topic)})
    if tool.task in TASKS and rng.random() < 0.65 and (task := _noun(writer, tool)):
        said = f"{rng.choice(frames(f'verb {tool.task}', writer.split))} {task.text}"
        if opened:
            pattern = rng.choice(frames("openings", writer.split))
            opening = Piece(writer, tool, task.args)
            start = expand(pattern, rng, opening.fill)
            if len(opening.args) > len(task.args) and set(opening.args) <= opening.tool_known:
                return Task(start.replace("*", said), tool, opening.args)
        return Task(said, tool, task.args)
    request = writer.request(tool)
    broken = ". " in request.text or len(request.text) > 90 or request.text[:1].isdigit() or "\n" in request.text
    return None if broken or not request.is_imperative else Task(request.text, tool, request.args)


def _imperatives(writer: Writer) -> Said | None:
    """Whole sentences joined: "draw a coat and then write something about mercy"."""
    rng = writer.rng
    number = _number_of_tasks(rng)
    opened = rng.random() < 0.07  # "using the vae draw a shirt; using markov write 30 words"
    tasks: list[Task] = []
    for _ in range(number):
        left = [tool for tool in writer.tools if not tasks or tool is not tasks[-1].tool]
        task = _imperative(writer, pick(writer, left if left and rng.random() < 0.8 else writer.tools), opened)
        if task is None or task.text.endswith(END):
            return None
        tasks.append(task)
    if opened and not all("model" in task.args or "seed" in task.args for task in tasks):
        return None
    pattern = rng.choice(frames("joiners of three" if number == 3 else "joiners", writer.split))
    text = expand(pattern.replace("\\n", "\n"), rng, lambda slot: tasks["abc".index(slot)].text)
    plain_start = pattern.startswith("{a}") and not pattern.startswith(("{a}.", "{a}\\n"))
    if plain_start:
        text, tasks = _added(writer, text, tasks)
    return text, tasks, plain_start


def _pronoun(writer: Writer) -> Said | None:
    """ "draw a dragon and name it", "draw a cup and a hat and morph the one into the other"."""
    rng = writer.rng
    tools = {tool.task: tool for tool in writer.tools}
    task, _, pattern = rng.choice(frames("pronouns", writer.split)).partition(" <= ")
    both = task.endswith("+")  # whether the second noun is drawn as well
    task = task.removesuffix("+")
    if not {"generate_image", task} <= set(tools):
        return None
    first = Piece(writer, tools["generate_image"])
    other: list[Noun] = []

    def fill(slot: str) -> str:
        if slot == "n":
            return grammar.number(first.args["count"], rng, loose=False) if "count" in first.args else first.fill("num")
        item = first.shared_subject()
        if slot in ("two", "twos"):
            item = other[0] if other else first.subject(avoid=item.arg)
            other[:] = [item]
        return first.one(item) if slot in ("one", "two") else item.many

    text = expand(pattern, rng, fill)
    picture = dict(first.args)
    # What stands in the text is the word that was said, not the label that it means to a picture model.
    taken: dict[str, dict[str, Any]] = {
        "write_text": {"must_include": grammar.plain(first.shared_subject().one)},
        "invent_names": {"count": 1},
        "morph_images": {"start": picture["subject"]},
    }
    second = taken[task]
    drawn = [picture]
    if other:
        second["end"] = other[0].arg
        drawn += [picture | {"subject": second["end"]}] if both else []
    if not set(second) <= set(tools[task].schema["parameters"]["properties"]) or second.get("end") == second.get(
        "start", 0
    ):
        return None
    pictures = [Task("", tools["generate_image"], args) for args in drawn]
    return text, [*pictures, Task("", tools[task], second)], False


def _single(writer: Writer) -> Example | None:
    """One call behind words that sound like two tasks."""
    rng = writer.rng
    tools = {tool.task: tool for tool in writer.tools}
    if rng.random() < 0.4:
        text, call, _ = writer.single(pick(writer, writer.tools), wrap=False)
        return Example([Turn("user", rng.choice(frames("chatter", writer.split)).replace("*", text))], [call], "tool")
    task, _, pattern = rng.choice(frames("single", writer.split)).partition(" <= ")
    if task not in tools:
        return None
    listed = tools[task].known.get("subject", [])
    if "{looks}" in pattern and (not listed or any(label[:1].isdigit() or label in grammar.ONES for label in listed)):
        return None
    made = make_piece(writer, tools[task], pattern)
    if made is None or ("{looks}" in pattern and made.args["subject"] not in listed):
        return None
    text = writer.say(made.text.removesuffix("?"), question=made.text.endswith("?"), wrap=False)
    return Example([Turn("user", text)], [writer.call(made.tool, made.args)], "tool")
