"""Later turns that change a call of a plugin's tool: "same but vegan", "make that brackish", "30 of them instead"."""

from __future__ import annotations

from random import Random
from typing import Any

from chains.prompting import Turn
from chains.tuning import grammar
from chains.tuning.grammar import verbatim
from chains.tuning.plugin_requests import PluginRequest
from chains.tuning.plugins import PluginTool
from chains.tuning.toollists import ShownTool
from chains.tuning.writer import Example, Writer

_TRIES = 60  # draws until a new value differs from the old
_FOLLOW = (
    "same but *", "same again but *", "the same, *", "now *", "and *?", "* instead", "make it *", "make that *",
    "no, *",
    "actually *", "* this time", "but *", "again, *", "*", "hmm, *", "can it be *?", "could you do it *?", "*, please",
    "ok and now *", "one more, *", "not bad, but *", "sorry, I meant *", "try again: *", "redo it, *", "change it: *",
    "what about *?", "how about *?", "I'd rather have *", "better: *", "oh, and *", "wait, *", "let's go with *",
)  # fmt: skip
_SET = (
    "change the {name} to {value}", "{name} {value}", "set {name} to {value}", "{name}: {value}", "{name} = {value}",
    "with {name} {value}", "make the {name} {value}", "{value} for the {name}", "{name} should be {value}",
    "I'd like {value} as the {name}", "no, {value}", "{value} instead", "not {old}, {value}",
    "{value} instead of {old}",
)  # fmt: skip
_AGAIN = ("another one", "once more", "again please", "one more like that", "try again", "and another", "same again")
_SWAPS = (
    "now for *", "and for *?", "and *?", "the same for *", "do * too", "now *", "* next", "what about *?",
    "another for *",    "and one for *", "likewise for *", "now do *", "same thing with *",
)  # fmt: skip


def changed_plugin(writer: Writer, tool: ShownTool) -> Example:
    """A call of a plugin's tool, and then a wish to have it otherwise."""
    rng = writer.rng
    request = writer.request(tool)
    turns = []
    said, args = writer.say(request.text, request.is_imperative, request.is_question), request.args
    for last in [False] * rng.choice([0, 0, 0, 1]) + [True]:
        call = writer.call(tool, args)
        result = Turn("tool", writer.result(tool, args), name=call[0])
        turns += writer.reply([Turn("user", said), Turn("assistant", calls=(call,)), result])
        text, args = _change(tool.plugin, args, rng, writer.split)
        if rng.random() < 0.1 and not last:
            turns += [Turn("user", grammar.noisy(writer.talk_line(), rng)), Turn("assistant", "I see.")]
        asks = text.endswith("?")
        said = writer.say(text.removesuffix("?"), question=asks, wrap=rng.random() < 0.15)
    return Example([*turns, Turn("user", said)], [writer.call(tool, args)], "followup")


def _change(tool: PluginTool, before: dict[str, Any], rng: Random, split: str) -> tuple[str, dict[str, Any]]:
    """A sentence that asks for the call otherwise, and its arguments."""
    order = list(tool.shown)
    old = {name: before[tool.shown[name]] for name in order if tool.shown[name] in before}
    if rng.random() < 0.08 or not order:
        return rng.choice(_AGAIN), before
    request = PluginRequest(tool, rng, split)
    some = rng.sample(order, min(len(order), rng.choice([1, 1, 1, 1, 2])))
    for _ in range(_TRIES):
        pieces = []
        request.args = {}
        for name in some:
            pieces.append(request.piece(tool.plugin.args[name]))
        if all(old.get(name) != request.args[name] for name in some):
            break
    new = {**old, **request.args}
    arg = tool.plugin.args[some[0]]
    if len(some) == 1 and arg.kind != "bool" and rng.random() < 0.35:
        for _ in range(_TRIES):
            made, said = request.value(arg)
            if made != old.get(arg.id):
                break
        new[arg.id] = made
        if arg.kind == "text" and arg.required and rng.random() < 0.7:
            text = rng.choice(_SWAPS).replace("*", said)
        else:
            was = old.get(arg.id)
            ways = [way for way in _SET if "{old}" not in way or isinstance(was, (str, int, float))]
            label = rng.choice([tool.shown[arg.id], arg.names[0]]).replace("_", " ")
            text = rng.choice(ways).format(name=label, value=said, old=verbatim(str(was)))
    else:
        text = rng.choice(_FOLLOW).replace("*", rng.choice([", ", " and "]).join(pieces))
    return text, {tool.shown[name]: new[name] for name in order if name in new}
