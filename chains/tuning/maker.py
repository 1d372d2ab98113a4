"""Makes training examples: groups of requests that share one tool list, in the format of `chains.prompting`.

Unusual here: the tools are data too. Each group shows its own list: ours, whole or in part, shuffled, renamed,
re-described, with or without notes on the arguments, among the tools of other apps. What a group's list lacks becomes
requests that no tool serves. So the model learns to read the list and not to recite it. Everything follows from
(seed, split, index) and, for code to copy, from Python's version: a run that resumes at group 500 sees what it would
have seen. The rules of what a request means stand in `chains.tuning.requests`, what several tasks and later turns mean
in `several` and `followups`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from random import Random

from chains.prompting import Turn
from chains.schemas import TASKS
from chains.tuning import grammar
from chains.tuning.answers import answer
from chains.tuning.followups import after, followup
from chains.tuning.generic import generic_list, unseen_generic
from chains.tuning.invented import invented_tools
from chains.tuning.lookups import Lookup, code_list, lookup_list, unseen_lookup
from chains.tuning.plugins import plugin_list, unseen_plugin
from chains.tuning.quantities import QuantityTool, quantity_list
from chains.tuning.several import several
from chains.tuning.toollists import CLUSTERS, PLAIN, ShownTool, pick_known, pick_tools, show
from chains.tuning.whole import whole
from chains.tuning.writer import Example, Group, Writer

__all__ = ["Example", "Group", "Maker"]


class Maker:
    """Groups by index; `split` is "train" or "dev", whose frames the other never sees."""

    def __init__(self, seed: int = 0, split: str = "train") -> None:
        self.seed, self.split = seed, split

    def groups(self, start: int = 0, examples: int = 48) -> Iterator[Group]:
        """Endless, from group `start` on."""
        while True:
            yield self.group(start, examples)
            start += 1

    def group(self, index: int, examples: int = 48) -> Group:
        rng = Random(f"{self.seed} {self.split} {index}")
        lists = rng.choices(list(LISTS), list(LISTS.values()))[0]
        tools = lists(rng, self.split)
        made = [example(Writer(tools, rng, self.split)) for _ in range(examples)]
        return Group([tool.shown for tool in tools], made)


def _picked(rng: Random, _: str) -> list[ShownTool]:
    return pick_tools(rng)


def example(writer: Writer) -> Example:
    """One example for a tool list."""
    shares = GENERIC_SHARES if any(tool.generic for tool in writer.tools) else SHARES
    shares = LOOKUP_SHARES if any(tool.lookup for tool in writer.tools) else shares
    shares = QUANTITY_SHARES if any(isinstance(tool.lookup, QuantityTool) for tool in writer.tools) else shares
    code = sum(isinstance(tool.lookup, Lookup) and tool.lookup.takes_code for tool in writer.tools)
    shares = CODE_SHARES if 2 * code > len(writer.tools) else shares
    kind = writer.rng.choices(list(shares), list(shares.values()))[0]
    made = KINDS[kind](writer)
    turns = made.turns
    if made.kind in ("tool", "talk", "unseen", "multi") and len(turns) == 1 and writer.rng.random() < 0.12:
        turns = [*writer.earlier(), *turns]
    return Example([_clean(turn) for turn in turns], made.calls, made.kind, made.reply)


def one_task(writer: Writer) -> Example:
    """A request for one tool of the list; of the app's own, many are written as one piece."""
    foreign = any(tool.plugin or tool.generic or tool.lookup for tool in writer.tools)
    if writer.rng.random() < (_WHOLE / 5 if foreign else _WHOLE) and (said := whole(writer, "whole_one.txt")):
        text, (task,), _ = said
        text = writer.say(text.removesuffix("?"), question=text.endswith("?"), wrap=False)
        return Example([Turn("user", text)], [writer.call(task.tool, task.args)], "tool")
    text, (name, args), _ = writer.single(writer.pick())
    long = next((arg for arg, value in args.items() if isinstance(value, str) and len(value) > 14), "")
    if long and writer.rng.random() < 0.06 and (hidden := _without_quote(text, args[long])):
        text, args = hidden, {**args, long: "…"}
    return Example([Turn("user", text)], [(name, args)], "tool")


def _without_quote(text: str, value: str) -> str:
    """`text` with "…" in the place of a quoted value, as the agent shows long quotes to the model."""
    marks = "['\"\u201c\u201d\u2018\u2019\u00ab\u00bb]"
    found = re.search(f"{marks}\x01?{re.escape(value)}\x02?{marks}", text)
    return text[: found.start()] + '"…"' + text[found.end() :] if found else ""


def talk(writer: Writer) -> Example:
    """Plain talk, which no tool serves."""
    return Example([Turn("user", writer.talk_line())], [], "talk")


def unseen(writer: Writer) -> Example:
    """A request whose tool is not in the list."""
    if any(tool.lookup for tool in writer.tools):
        text, _, _ = writer.single(unseen_lookup(writer.tools, writer.rng, writer.split))
        return Example([Turn("user", text)], [], "unseen")
    if any(tool.generic for tool in writer.tools):
        text, _, _ = writer.single(unseen_generic(writer.tools, writer.rng, writer.split))
        return Example([Turn("user", text)], [], "unseen")
    if any(tool.plugin for tool in writer.tools) or writer.rng.random() < 0.3:
        text, _, _ = writer.single(unseen_plugin(writer.tools, writer.rng, writer.split))
        return Example([Turn("user", text)], [], "unseen")
    here = {tool.task for tool in writer.tools}
    for cluster in CLUSTERS:
        if here & cluster:
            here |= cluster
    ours = [task for task in TASKS if task not in here]
    others = [task for task in invented_tools() if task not in here]
    task = writer.rng.choice(ours if ours and writer.rng.random() < 0.65 else others)
    tool = show(
        task,
        pick_known(writer.rng),
        PLAIN,
        writer.rng,
    )
    text, _, _ = writer.single(tool)
    return Example([Turn("user", text)], [], "unseen")


def answered(writer: Writer) -> Example:
    """The assistant's own words, where they are taught."""
    return answer(writer) or one_task(writer)


KINDS: dict[str, Callable[[Writer], Example]] = {
    "tool": one_task,
    "talk": talk,
    "unseen": unseen,
    "multi": several,
    "followup": followup,
    "after": after,
    "answer": answered,
}
# Shares of the groups, by the kind of their list.
LISTS: dict[Callable[[Random, str], list[ShownTool]], float] = {
    plugin_list: 0.28,
    generic_list: 0.06,
    lookup_list: 0.20,
    code_list: 0.22,
    quantity_list: 0.04,
    _picked: 0.20,
}
_WHOLE = 0.45  # of the requests for one task, where the list has the app's own tools
# Longer examples are left out of a full pack more often, so their weights are a little above the shares wanted.
SHARES = {"tool": 30, "talk": 16, "unseen": 6, "multi": 22, "followup": 20, "after": 4, "answer": 5}
GENERIC_SHARES = {
    "tool": 56,
    "talk": 10,
    "unseen": 17,
    "multi": 9,
    "followup": 3,
    "after": 2,
    "answer": 9,
}
LOOKUP_SHARES = {"tool": 30, "talk": 6, "unseen": 8, "answer": 56}
CODE_SHARES = {"tool": 78, "talk": 6, "unseen": 12, "answer": 4}
QUANTITY_SHARES = {"tool": 78, "talk": 6, "unseen": 12, "answer": 4}


def _clean(turn: Turn) -> Turn:
    return Turn(turn.role, grammar.plain(turn.text), turn.calls, turn.name)
