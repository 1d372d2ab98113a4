"""The parts that every made example is put together from: a request, its call, a tool's result, a line of talk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Any

from chains.prompting import Turn
from chains.schemas import TASKS
from chains.tuning import grammar
from chains.tuning.answers import exchange
from chains.tuning.generic_requests import GenericRequest
from chains.tuning.grammar import END, expand, noisy, sections, words
from chains.tuning.invented import InventedRequest
from chains.tuning.plugin_requests import PluginRequest
from chains.tuning.requests import Request
from chains.tuning.toollists import ShownTool

WEIGHTS = {"generate_image": 5, "write_text": 5, "invent_names": 5, "morph_images": 3, "about": 2}
_PLUGIN = 8  # a plugin's tool, of which there are few beside ours
# Talk that some invented tool might serve; only said where the list holds none of them.
_ELSEWHERE = re.compile(
    r"weather|rain|cold|hot|umbrella|timer|alarm|wake|remind|send|call|book|order|buy|turn|open|play|"
    r"what's on|news|search|how do i get|nearest|"
    r"\btime\b|day|when|much|convert|delete|print|save|translate|say|mean|what is|what's|who|where|how many|how far|"
    r"add|count|solve|dictionary|"
    r"spell|recommend|wear|cook|eat|recipe|list|find|explain|define|tell me about|score|won|date|\d|summar|remember|"
    r"call|note|train|need|hungry|tired|dark|joke|riddle|laugh|name|live in|years old"
)


@dataclass(frozen=True)
class Example:
    """A conversation that ends where the assistant decides, and what it should decide; no calls mean `no tool`."""

    turns: list[Turn]
    calls: list[tuple[str, dict[str, Any]]]
    kind: str
    reply: str = ""  # what the assistant says after `no tool`, where that is taught


@dataclass(frozen=True)
class Group:
    """Examples behind one tool list."""

    tools: list[dict[str, Any]]
    examples: list[Example]


class Writer:
    """Writes for one tool list."""

    def __init__(self, tools: list[ShownTool], rng: Random, split: str) -> None:
        self.tools, self.rng, self.split = tools, rng, split

    def pick(self, among: list[ShownTool] | None = None) -> ShownTool:
        """One of the tools; in a short list those that most people have come up more often."""
        pool = among or self.tools
        favour = 0.2 if len(self.tools) > 8 else 1.0
        weights = [(_PLUGIN if tool.plugin is not None else WEIGHTS.get(tool.task, 2)) ** favour for tool in pool]
        return self.rng.choices(pool, weights)[0]

    def request(self, tool: ShownTool) -> Any:
        """A request that the list's tool can serve; `text` and `args` stand."""
        if tool.generic is not None:
            composed = GenericRequest(tool.generic, self.rng)
            composed.make()
            return composed
        if tool.lookup is not None:
            return tool.lookup.request(self.rng)
        if tool.plugin is not None:
            foreign = PluginRequest(tool.plugin, self.rng, self.split)
            foreign.make()
            return foreign
        maker = Request if tool.task in TASKS else InventedRequest
        while True:
            request = maker(tool.task, tool.schema, tool.known, self.rng, self.split)
            request.make()
            if set(request.args) <= request.tool_known:
                return request

    def call(self, tool: ShownTool, args: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The call as this list wants it: the schema's order, names as shown."""
        fields = tool.schema["parameters"].get("properties") or {}
        return tool.shown["name"], {tool.renamed.get(name, name): args[name] for name in fields if name in args}

    def say(self, text: str, imperative: bool = False, question: bool = False, wrap: bool = True) -> str:
        """Wraps, punctuates and smudges what a person says."""
        rng = self.rng
        luck = rng.random()
        section = ""
        if wrap and imperative and luck < 0.55:
            section = "imperative"
        elif wrap and luck > 0.85:
            section = "any"
        if section:
            pattern = rng.choice(sections("wrap.txt")[section])
            if not (text.endswith(END) and not pattern.endswith("*")):
                question = question or pattern.endswith("?")
                text = pattern.removesuffix("?").replace("*", text, 1)
                if section == "imperative" and rng.random() < 0.1:
                    text = rng.choice([p for p in sections("wrap.txt")["any"] if p.endswith("*")]).replace("*", text)
        if question:
            text += "?" if rng.random() < 0.75 else ""
        elif rng.random() < 0.35 and text[-1:] not in (".", "!", "?", ":", ")", END) and " " in text:
            text += "."
        return noisy(text, rng)

    def single(self, tool: ShownTool, wrap: bool = True) -> tuple[str, tuple[str, dict[str, Any]], Any]:
        request = self.request(tool)
        text = self.say(request.text, request.is_imperative, request.is_question, wrap)
        return text, self.call(tool, request.args), request

    def talk_line(self) -> str:
        rng = self.rng
        foreign = any(tool.task not in TASKS for tool in self.tools)
        tasks = {tool.task for tool in self.tools}
        while True:
            line = rng.choice(_talk_lines(self.split))
            if foreign and _ELSEWHERE.search(line.lower()):
                continue
            text = expand(line, rng, lambda slot: rng.choice(_TALK_SLOTS.get(slot) or words(_TALK_LISTS[slot])))
            if tasks & {
                "write_code",
                "compose_music",
                "fill_blanks",
                "make_sound",
                "make_video",
                "train_model",
            } and re.search(r"poem|song|sing|music", text):
                continue
            luck = rng.random()
            if luck < 0.08:
                mark = rng.choice([". ", "! ", ", ", "... "])
                text = text.rstrip(".!?") + mark + expand(rng.choice(_talk_lines(self.split)), rng, lambda slot: "Tom")
                if foreign and _ELSEWHERE.search(text.lower()):
                    continue
            elif luck < 0.16 and len(text) > 12:
                text = rng.choice(_TALK_LEADS) + text
            elif luck < 0.2 and text[-1:] not in "?!.":
                text += rng.choice(["!", "...", " :)", ".", "!!"])
            return noisy(text, rng)

    def result(self, tool: ShownTool, args: dict[str, Any]) -> str:
        """A tool's sentence after success."""
        rng = self.rng
        table = sections("follow.txt")
        usual = {"generate_image": 1, "invent_names": 5, "morph_images": 16, "write_text": 60}.get(tool.task, 4)
        many = args.get("count", args.get("frames", args.get("words", usual)))
        patterns = table.get(f"results {tool.task}") or table["results other"]
        fitting = [line for line in patterns if not (several := _MANY.search(line)) or (several[1] == str(many))]
        if many == 1:
            fitting = [line for line in fitting if "{n}" not in line] or fitting
        pattern = rng.choice(fitting)
        values = {
            "n": str(many),
            "subject": str(args.get("subject", "")),
            "start": str(args.get("start", "")),
            "end": str(args.get("end", "")),
            "model": str(args.get("model", rng.choice(words("modelnames")))),
            "seed": str(args.get("seed", rng.randint(0, 99999))),
        }
        return expand(pattern, rng, values.__getitem__)

    def done(self, tool: ShownTool, wrap: bool = True) -> tuple[list[Turn], dict[str, Any]]:
        """A request, its call and its result; and the request's arguments."""
        text, call, request = self.single(tool, wrap)
        result = self.result(tool, request.args)
        if tool.task not in TASKS:
            result, _ = exchange(tool, request, self.rng, self.split)
        return [Turn("user", text), Turn("assistant", calls=(call,)), Turn("tool", result, name=call[0])], request.args

    def reply(self, turns: list[Turn]) -> list[Turn]:
        """The assistant's closing words, which repeat the result, or nothing."""
        luck = self.rng.random()
        return [*turns, Turn("assistant", turns[-1].text if luck < 0.8 else "Here you are.")] if luck < 0.75 else turns

    def earlier(self) -> list[Turn]:
        """What was said before and does not matter now."""
        if self.rng.random() < 0.5:
            return [
                Turn("user", self.talk_line()),
                Turn("assistant", self.rng.choice(sections("follow.txt")["replies"])),
            ]
        return self.reply(self.done(self.pick())[0])


_MANY = re.compile(r"^\w+ (\d+) ")  # the number that a result's pattern has of its own
_TALK_SLOTS = {"animal": ("cat", "dog", "bee", "whale", "frog", "owl", "horse")}
_TALK_LEADS = (
    "hey, ",
    "hi! ",
    "well, ",
    "ok, ",
    "so ",
    "honestly, ",
    "you know, ",
    "hm, ",
    "by the way, ",
    "tell me, ",
    "please, ",
)
_TALK_LISTS = {"person": "people", "city": "cities", "language": "languages"}


def _talk_lines(split: str) -> list[str]:
    lines = sections("talk.txt")[""]
    return [line for line in lines if grammar.reserved(line) == (split == "dev")]
