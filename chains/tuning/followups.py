"""Later turns: what was made is wanted again or otherwise, an error is answered, calls remain, or nothing does.

The last call is the one that a follow-up changes, talk in between or not; "the first one" is the call before it.
`chains.tuning.changes` says what a change keeps.
"""

from __future__ import annotations

import re
from typing import Any

from chains.prompting import Turn
from chains.schemas import TASKS
from chains.tuning import grammar
from chains.tuning.changes import FOLLOWS, change, kinds_of_change
from chains.tuning.grammar import expand, sections
from chains.tuning.picture_values import label_words
from chains.tuning.plugin_changes import changed_plugin
from chains.tuning.requests import Request
from chains.tuning.several import pick, several
from chains.tuning.toollists import ShownTool
from chains.tuning.whole import conversation
from chains.tuning.writer import Example, Writer

Call = tuple[str, dict[str, Any]]


def followup(writer: Writer) -> Example:
    """A request that only its history explains, or thanks that ask for nothing."""
    rng = writer.rng
    luck = rng.random()
    pool = [tool for tool in writer.tools if tool.task in FOLLOWS]
    foreign = [tool for tool in writer.tools if tool.plugin is not None]
    if foreign and luck > 0.4:
        return changed_plugin(writer, rng.choice(foreign))
    if any(tool.generic for tool in writer.tools):
        return (
            thanks(writer)
            if luck < 0.15
            else another_request(writer)
            if not pool
            else changed(writer, pick(writer, pool))
        )
    if luck < 0.06:
        return talk_after(writer)
    if luck < 0.14 or not pool:
        return thanks(writer)
    if luck < 0.22:
        return another_request(writer)
    if luck < 0.29 and (made := about_it(writer)):
        return made
    if luck < 0.38 and (made := first_one(writer)):
        return made
    if luck < 0.46 and (made := pick_after_error(writer)):
        return made
    if luck < 0.68 and (made := conversation(writer)):
        return made
    return changed(writer, pick(writer, pool))


def lines(section: str, split: str) -> list[str]:
    """The lines of a section of follow.txt that `split` may say."""
    found = sections("follow.txt")[section]
    return [line for line in found if grammar.reserved(line) == (split == "dev")] or found


def later(writer: Writer, text: str) -> Turn:
    """What a person says in a later turn."""
    said = text.removesuffix("?") if text.endswith("?") else text
    return Turn("user", writer.say(said, question=text.endswith("?"), wrap=writer.rng.random() < 0.2))


def exchange(writer: Writer, tool: ShownTool, text: str, args: dict[str, Any], reply: bool = True) -> list[Turn]:
    """What is said, called and answered."""
    call = writer.call(tool, args)
    turns = [
        Turn("user", text),
        Turn("assistant", calls=(call,)),
        Turn("tool", writer.result(tool, args), name=call[0]),
    ]
    return writer.reply(turns) if reply else turns


def chat(writer: Writer) -> list[Turn]:
    """Talk in between, which changes nothing."""
    rng = writer.rng
    pleased = [
        line
        for line in lines("thanks", writer.split)
        if not re.search("done|bye|more|enough|all|never|forget|come", line)
    ]
    said = rng.choice(pleased) if rng.random() < 0.6 else writer.talk_line()
    return [Turn("user", grammar.noisy(said, rng)), Turn("assistant", rng.choice(sections("follow.txt")["replies"]))]


def changed(writer: Writer, tool: ShownTool) -> Example:
    """One to three changes of a call; the last one is the example's."""
    rng = writer.rng
    start = rng.random()
    turns = [*chat(writer)] if start < 0.12 else writer.earlier() if start < 0.22 else []
    for _ in range(_TRIES):
        request = writer.request(tool)
        if kinds_of_change(tool, request.args):
            break
    else:
        return thanks(writer)
    args = request.args
    said = writer.say(request.text, request.is_imperative, request.is_question)
    for last in [False] * rng.choice([0, 0, 0, 0, 0, 1, 1, 2]) + [True]:
        turns = [*turns, *exchange(writer, tool, said, args)]
        seed = named_seed(turns)
        kinds = kinds_of_change(tool, args, seed)
        if not kinds:
            return thanks(writer)
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        text, args = change(tool, kind, args, rng, writer.split, seed)
        said = later(writer, text).text
        if last and rng.random() < 0.15:
            turns = [*turns, *chat(writer)]
    return Example([*turns, Turn("user", said)], [writer.call(tool, args)], "followup")


_TRIES = 20  # draws until a request allows a change


def named_seed(turns: list[Turn]) -> int | None:
    """The seed that the last result names."""
    result = next(turn.text for turn in reversed(turns) if turn.role == "tool")
    found = re.search(r"seed (\d+)", result)
    return int(found[1]) if found else None


def talk_after(writer: Writer) -> Example:
    """Chat after something was made."""
    turns = writer.reply(writer.done(writer.pick())[0])
    return Example([*turns, Turn("user", writer.talk_line())], [], "talk")


def thanks(writer: Writer) -> Example:
    """Thanks, praise, blame and goodbyes ask for nothing."""
    turns = writer.reply(writer.done(writer.pick())[0])
    said = writer.rng.choice(lines("thanks", writer.split))
    return Example([*turns, Turn("user", grammar.noisy(said, writer.rng))], [], "followup")


def another_request(writer: Writer) -> Example:
    """A whole request of its own takes nothing from the call before."""
    tool = writer.pick()
    turns = writer.reply(writer.done(tool)[0])
    text, call, _ = writer.single(tool if writer.rng.random() < 0.5 else writer.pick())
    lead = writer.rng.choice(["", "", "", "now ", "ok, ", "thanks. ", "great! ", "and now ", "next: "])
    return Example([*turns, Turn("user", lead + text)], [call], "followup")


def about_it(writer: Writer) -> Example | None:
    """After a picture: "write a text about it", "name it", "turn it into a bag"."""
    rng = writer.rng
    tools = {tool.task: tool for tool in writer.tools}
    others = [task for task in ("write_text", "invent_names", "morph_images") if task in tools]
    if "generate_image" not in tools or not others:
        return None
    task = rng.choice(others)
    request = Request(
        "generate_image", tools["generate_image"].schema, tools["generate_image"].known, rng, writer.split
    )
    item = request.shared_subject()
    turns = exchange(writer, tools["generate_image"], writer.say(f"draw {item.singular(rng)}", True), request.args)
    taken: dict[str, dict[str, Any]] = {
        "write_text": {"must_include": grammar.plain(item.one)},
        "invent_names": {"count": 1},
        "morph_images": {"start": item.arg},
    }
    args = taken[task]

    def fill(_: str) -> str:
        other = request.subject(avoid=item.arg)
        args["end"] = other.arg
        return request.one(other)

    text = expand(rng.choice(lines(f"about_it {task}", writer.split)), rng, fill)
    if not set(args) <= set(tools[task].schema["parameters"]["properties"]) or args.get("end") == item.arg:
        return None
    return Example([*turns, later(writer, text)], [writer.call(tools[task], args)], "followup")


def first_one(writer: Writer) -> Example | None:
    """The call before the last again, with or without another seed."""
    rng = writer.rng
    pool = [tool for tool in writer.tools if tool.task in TASKS and tool.task not in ("about", "train_model")]
    if not pool:
        return None
    made = [writer.request(pick(writer, pool)) for _ in range(2)]
    tools = [next(tool for tool in pool if tool.task == request.task) for request in made]
    if any("seed" in request.args for request in made) or made[0].args == made[1].args:
        return None
    turns: list[Turn] = []
    for tool, request in zip(tools, made, strict=True):
        said = writer.say(request.text, request.is_imperative, request.is_question)
        turns += exchange(writer, tool, said, request.args)
    tool, args = tools[0], dict(made[0].args)
    own = sections("follow.txt").get(f"earlier {tool.task}")
    section = f"earlier {tool.task}" if own and tools[1] is not tool and rng.random() < 0.5 else "earlier"
    text = rng.choice(lines(section, writer.split))
    if "seed" in tool.schema["parameters"]["properties"] and "," not in text and rng.random() < 0.25:
        args["seed"] = rng.randint(0, 999)
        text += rng.choice([", but with seed {}", ", with seed {}", ", seed {}"]).format(args["seed"])
    return Example([*turns, later(writer, text)], [writer.call(tool, args)], "followup")


def unknown_subject(tool: ShownTool, args: dict[str, Any], listed: list[str]) -> str:
    """The app's sentence on a subject that no model knows."""
    return f"Error: No model here knows the subject {args['subject']!r}; they know {', '.join(listed)}."


def _labels(writer: Writer, tool: ShownTool) -> list[str]:
    if tool.known.get("subject"):
        return list(tool.known["subject"])
    names = [label.partition("/")[0] for label in grammar.synonyms("labels mixed")]
    return writer.rng.sample(names, writer.rng.randint(4, 9))


def pick_after_error(writer: Writer) -> Example | None:
    """No model knew the subject; the person takes one of those that the error lists."""
    rng = writer.rng
    tool = next((tool for tool in writer.tools if tool.task == "generate_image"), None)
    if tool is None:
        return None
    listed = _labels(writer, tool)
    request = writer.request(tool)
    if request.args["subject"] in listed:
        return None
    turns = exchange(writer, tool, writer.say(request.text, request.is_imperative), request.args, reply=False)
    turns[-1] = Turn("tool", unknown_subject(tool, request.args, listed), name=tool.shown["name"])
    label = rng.choice(listed)
    picked = Request(tool.task, tool.schema, {"subject": [label]}, rng, writer.split)
    item = grammar.noun(label_words(label)[0], label)
    few = request.args.get("count", 1) == 1
    text = expand(rng.choice(lines("after_error", writer.split)), rng, lambda _: picked.one(item) if few else item.many)
    args = {**request.args, "subject": label}
    return Example([*writer.reply(turns), later(writer, text)], [writer.call(tool, args)], "followup")


def after(writer: Writer) -> Example:
    """The tool has answered: nothing is left to do, a task remains, or the call was wrong and is put right."""
    rng = writer.rng
    luck = rng.random()
    if luck < 0.5:
        made = several(writer)
        if len(made.calls) > 1 and len(made.turns) == 1:
            return _remaining(writer, made, one_by_one=luck < 0.38)
    if luck < 0.72 and (repaired := _repaired(writer)):
        return repaired
    tool = pick(writer, writer.tools)
    turns, args = writer.done(tool)
    if (
        tool.task == "generate_image"
        and args["subject"] not in (listed := _labels(writer, tool))
        and rng.random() < 0.5
    ):
        turns = [*turns[:-1], Turn("tool", unknown_subject(tool, args, listed), name=tool.shown["name"])]
    return Example(turns, [], "after")


def _remaining(writer: Writer, made: Example, one_by_one: bool) -> Example:
    """After some or all calls of several tasks: those that are left."""
    rng = writer.rng
    done = rng.randint(1, len(made.calls)) if one_by_one else len(made.calls)
    turns = list(made.turns)
    results = []
    for name, shown_args in made.calls[:done]:
        tool = next(tool for tool in writer.tools if tool.shown["name"] == name)
        back = {shown: own for own, shown in tool.renamed.items()}
        args = {back.get(key, key): value for key, value in shown_args.items()}
        results.append(Turn("tool", writer.result(tool, args), name=name))
    if one_by_one:
        for call, result in zip(made.calls, results, strict=False):
            turns += [Turn("assistant", calls=(call,)), result]
    else:
        turns += [Turn("assistant", calls=tuple(made.calls)), *results]
    return Example(turns, made.calls[done:], "after")


def _repaired(writer: Writer) -> Example | None:
    """The assistant's call had one wrong argument, and the tool said so: now the call that the person asked for."""
    rng = writer.rng
    pool = [tool for tool in writer.tools if tool.task in TASKS]
    if not pool:
        return None
    tool = pick(writer, pool)
    way = rng.choice((_wrong_number, _wrong_number, _wrong_model, _wrong_subject))
    found = way(writer, tool)
    if found is None:
        return None
    request, wrong, error = found
    call = writer.call(tool, {**request.args, **wrong})
    said = writer.say(request.text, request.is_imperative, request.is_question)
    turns = [Turn("user", said), Turn("assistant", calls=(call,)), Turn("tool", error, name=call[0])]
    return Example(turns, [writer.call(tool, request.args)], "after")


Wrong = tuple[Any, dict[str, Any], str]  # the request, the wrong arguments, the tool's sentence


def _wrong_number(writer: Writer, tool: ShownTool) -> Wrong | None:
    request, rng = writer.request(tool), writer.rng
    fields = tool.schema["parameters"]["properties"]
    bounded = [
        name
        for name, value in request.args.items()
        if isinstance(value, int) and {"minimum", "maximum"} <= set(fields[name])
    ]
    if not bounded:
        return None
    name = rng.choice(bounded)
    low, top = int(fields[name]["minimum"]), int(fields[name]["maximum"])
    wrong = rng.choice([low - 1, top + 1, top * 10, request.args[name] * 100 + top])
    limit = f"greater than or equal to {low}" if wrong < low else f"less than or equal to {top}"
    given = tool.renamed.get(name, name)
    error = f"Error: {tool.shown['name']} cannot take that: {given}={wrong!r}: input should be {limit}."
    return request, {name: wrong}, error


def _wrong_model(writer: Writer, tool: ShownTool) -> Wrong | None:
    """A model that was misspelled, or that nobody asked for."""
    request, rng = writer.request(tool), writer.rng
    if "model" not in tool.schema["parameters"]["properties"]:
        return None
    there = rng.sample(list(grammar.synonyms("families")), 2) + rng.sample(grammar.words("modelnames"), 2)
    if model := request.args.get("model"):
        there = rng.sample([*there, model], 5) if model not in there else there
        i = rng.randrange(len(model) - 1)
        wrong = model[:i] + model[i + 1] + model[i] + model[i + 2 :]
    else:
        wrong = rng.choice(["default", "best", "any", "image", "model"])
    if wrong in there or wrong == model:
        return None
    error = f"Error: There is no model {wrong!r} for {tool.shown['name']}; there are {', '.join(there)}."
    return request, {"model": wrong}, error


def _wrong_subject(writer: Writer, tool: ShownTool) -> Wrong | None:
    """The person's own word for a subject that the models know by another: "jumper" for pullover."""
    listed = tool.known.get("subject", [])
    if tool.task != "generate_image" or not listed:
        return None
    request = Request(tool.task, tool.schema, tool.known, writer.rng, writer.split)
    item = request.shared_subject()
    request.make()
    said = grammar.plain(item.one)
    if item.arg not in listed or said in listed or said not in request.text or request.args["subject"] != item.arg:
        return None
    if not set(request.args) <= request.tool_known:
        return None
    return request, {"subject": said}, unknown_subject(tool, {"subject": said}, listed)
