"""Makes training examples: groups of requests that share one tool list, in the format of `chains.prompting`.

Unusual here: the tools are data too. Each group shows its own list: ours, whole or in part, shuffled, renamed,
re-described, with or without notes on the arguments, among the tools of other apps. What a group's list lacks becomes
requests that no tool serves. So the model learns to read the list and not to recite it. Everything follows from
(seed, split, index): a run that resumes at group 500 sees what it would have seen. The rules of what a request means
stand in `chains.tuning.requests`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from chains.prompting import Turn
from chains.schemas import TASKS
from chains.tuning import grammar
from chains.tuning.changes import FOLLOWS, change, kinds_of_change
from chains.tuning.grammar import END, expand, noisy, sections, words
from chains.tuning.invented import InventedRequest, invented_tools
from chains.tuning.requests import Request
from chains.tuning.toollists import ShownTool, pick_known, pick_tools, show

WEIGHTS = {"generate_image": 5, "write_text": 5, "invent_names": 5, "morph_images": 3, "about": 2}
KINDS = {"tool": 54, "talk": 18, "unseen": 7, "multi": 9, "followup": 9, "after": 3}
# Requests of one cluster could pass for another's, so none of them counts as unserved while another is in the list.
CLUSTERS = (
    {"set_timer", "set_alarm", "create_reminder", "add_event", "list_events", "take_note", "days_until"},
    {"send_email", "send_message", "make_call", "post_tweet"},
    {"order_status", "track_parcel", "cancel_order"},
    {"run_query", "count_rows", "get_definition_of_done"},
    {"find_restaurant", "book_table", "get_recipe", "find_hotel"},
    {"find_flights", "train_times", "route_distance", "book_taxi"},
    {
        "search_web",
        "get_news",
        "define_word",
        "movie_info",
        "sports_score",
        "open_page",
        "translate",
        "current_time",
        "get_weather",
    },
    {"calculate", "convert_units", "convert_currency", "random_number", "roll_dice", "flip_coin"},
    {"read_file", "summarize", "delete_file", "zip_folder", "resize_photo", "spell_check"},
    {"light_switch", "set_color", "set_thermostat", "open_blinds", "lock_door", "vacuum", "set_volume"},
    {"play_song", "play_podcast", "compose_music"},
    {"stock_price", "buy_shares", "pay_bill", "account_balance"},
    {"write_text", "fill_blanks", "write_code"},
    {"make_video", "morph_images"},
    {"vary_image", "complete_image"},
    {"restart_server", "ping"},
    {"take_note", "log_workout", "log_weight"},
    {"create_ticket", "assign_ticket"},
    {"about", "train_model"},
    {"set_language", "translate", "spell_check"},
)
# Talk that some invented tool might serve; only said where the list holds none of them.
_ELSEWHERE = re.compile(
    r"weather|rain|cold|hot|umbrella|timer|alarm|wake|remind|send|call|book|order|buy|turn|open|play|"
    r"what's on|news|search|how do i get|nearest|"
    r"\btime\b|day|when|much|convert|delete|print|save|translate|say|mean|what is|what's|who|where|how many|how far|"
    r"add|count|solve|dictionary|"
    r"spell|recommend|wear|cook|eat|recipe|list|find|explain|define|tell me about|score|won|date|\d|summar|remember|"
    r"call|note|train|need|hungry|tired|dark"
)


@dataclass(frozen=True)
class Example:
    """A conversation that ends where the assistant decides, and what it should decide; no calls mean `no tool`."""

    turns: list[Turn]
    calls: list[tuple[str, dict[str, Any]]]
    kind: str


@dataclass(frozen=True)
class Group:
    """Examples behind one tool list."""

    tools: list[dict[str, Any]]
    examples: list[Example]


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
        tools = pick_tools(rng)
        made = [_Writer(tools, rng, self.split).example() for _ in range(examples)]
        return Group([tool.shown for tool in tools], made)


class _Writer:
    """Writes one example for a tool list."""

    def __init__(self, tools: list[ShownTool], rng: Random, split: str) -> None:
        self.tools, self.rng, self.split = tools, rng, split

    def example(self) -> Example:
        kind = self.rng.choices(list(KINDS), list(KINDS.values()))[0]
        made = getattr(self, f"_{kind}")()
        turns = made.turns
        if kind in ("tool", "talk", "unseen") and self.rng.random() < 0.12:
            turns = [*self._earlier(), *turns]
        return Example([_clean(turn) for turn in turns], made.calls, kind)

    # building blocks

    def _pick(self, among: list[ShownTool] | None = None) -> ShownTool:
        pool = among or self.tools
        return self.rng.choices(pool, [WEIGHTS.get(tool.task, 2) for tool in pool])[0]

    def _request(self, tool: ShownTool) -> Any:
        maker = Request if tool.task in TASKS else InventedRequest
        while True:
            request = maker(tool.task, tool.schema, tool.known, self.rng, self.split)
            request.make()
            if set(request.args) <= request.tool_known:
                return request

    def _call(self, tool: ShownTool, args: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The call as this list wants it: the schema's order, names as shown."""
        fields = tool.schema["parameters"].get("properties") or {}
        return tool.shown["name"], {tool.renamed.get(name, name): args[name] for name in fields if name in args}

    def _say(self, text: str, imperative: bool = False, question: bool = False, wrap: bool = True) -> str:
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
        elif rng.random() < 0.35 and text[-1:] not in (".", "!", ":", ")", END) and " " in text:
            text += "."
        return noisy(text, rng)

    def _single(self, tool: ShownTool, wrap: bool = True) -> tuple[str, tuple[str, dict[str, Any]], Any]:
        request = self._request(tool)
        text = self._say(request.text, request.is_imperative, request.is_question, wrap)
        return text, self._call(tool, request.args), request

    # kinds of examples

    def _tool(self) -> Example:
        text, call, _ = self._single(self._pick())
        return Example([Turn("user", text)], [call], "tool")

    def _talk(self) -> Example:
        text = self._talk_line()
        return Example([Turn("user", text)], [], "talk")

    def _talk_line(self) -> str:
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

    def _unseen(self) -> Example:
        """A request whose tool is not in the list."""
        here = {tool.task for tool in self.tools}
        for cluster in CLUSTERS:
            if here & cluster:
                here |= cluster
        ours = [task for task in TASKS if task not in here]
        others = [task for task in invented_tools() if task not in here]
        task = self.rng.choice(ours if ours and self.rng.random() < 0.65 else others)
        tool = show(
            task,
            pick_known(self.rng),
            {"notes": "all", "disguise": False, "slim": False, "jitter": False, "pictures": True},
            self.rng,
        )
        text, _, _ = self._single(tool)
        return Example([Turn("user", text)], [], "unseen")

    def _multi(self) -> Example:
        rng = self.rng
        images = [tool for tool in self.tools if tool.task == "generate_image"]
        if images and rng.random() < 0.3:
            return self._several_subjects(images[0])
        parts = []
        for _ in range(3 if rng.random() < 0.15 else 2):
            while True:
                request_tool = self._pick()
                request = self._request(request_tool)
                if (
                    (request.is_imperative or rng.random() < 0.1)
                    and ". " not in request.text
                    and not request.text.endswith(END)
                ):
                    break
                if rng.random() < 0.02:
                    return self._tool()
            parts.append((request.text, self._call(request_tool, request.args)))
        texts, calls = [text for text, _ in parts], [call for _, call in parts]
        pattern = rng.choice(sections("follow.txt")["joiners"])
        if pattern.startswith("before"):
            calls[0], calls[1] = calls[0], calls[1]
        joined = (
            texts[0] if len(texts) == 2 else f"{texts[0]}{rng.choice([', ', ', then ', ' and ', '. Then '])}{texts[1]}"
        )
        text = pattern.replace("{a}", joined).replace("{b}", texts[-1])
        imperative = not pattern.startswith(("first", "1", "two", "I have", "before"))
        return Example([Turn("user", self._say(text, imperative and rng.random() < 0.5))], calls, "multi")

    def _several_subjects(self, tool: ShownTool) -> Example:
        """ "draw a coat and two bags" is two calls."""
        rng = self.rng
        parts: list[str] = []
        calls: list[tuple[str, dict[str, Any]]] = []
        for _ in range(3 if rng.random() < 0.3 else 2):
            request = Request(tool.task, tool.schema, tool.known, rng, self.split)
            while True:
                request.args.clear()
                request.__dict__.pop("_subject", None)
                text = request.slot_things()
                call = self._call(tool, request.args)
                if set(request.args) <= request.tool_known and all(
                    request.args["subject"] not in c[1].values() for c in calls
                ):
                    break
            parts.append(text)
            calls.append(call)
        verb = rng.choice(
            [
                "draw ",
                "show me ",
                "make ",
                "paint ",
                "give me ",
                "create ",
                "generate ",
                "I want ",
                "I'd like ",
                "draw me ",
                "sketch ",
                "let me see ",
                "I need ",
                "can I see ",
                "",
            ]
        )
        imperative = verb.split(" ")[0] in ("draw", "paint", "create", "generate", "sketch", "make", "give", "show")
        shared = ""
        if "seed" in request.tool_known and rng.random() < 0.12:
            seed = rng.randint(0, 999)
            shared = rng.choice([" with seed {}", ", both with seed {}", ", seed {}", ", seed {} for each"]).format(
                seed
            )
            calls = [(name, {**args, tool.renamed.get("seed", "seed"): seed}) for name, args in calls]
        joined = (
            grammar.listing(parts, rng)
            if rng.random() < 0.8
            else rng.choice([", then ", " and also ", " plus ", " as well as "]).join(parts)
        )
        return Example([Turn("user", self._say(verb + joined + shared, imperative))], calls, "multi")

    def _result(self, tool: ShownTool, args: dict[str, Any]) -> str:
        """A tool's sentence after success."""
        rng = self.rng
        table = sections("follow.txt")
        pattern = rng.choice(table.get(f"results {tool.task}") or table["results other"])
        values = {
            "n": str(args.get("count", args.get("frames", args.get("words", 4)))),
            "subject": str(args.get("subject", "")),
            "start": str(args.get("start", "")),
            "end": str(args.get("end", "")),
            "model": str(args.get("model", rng.choice(words("modelnames")))),
            "seed": str(args.get("seed", rng.randint(0, 99999))),
        }
        return expand(pattern, rng, values.__getitem__)

    def _done(self, tool: ShownTool, wrap: bool = True) -> tuple[list[Turn], dict[str, Any]]:
        """A request, its call and its result; and the request's arguments."""
        text, call, request = self._single(tool, wrap)
        result = self._result(tool, request.args)
        return [Turn("user", text), Turn("assistant", calls=(call,)), Turn("tool", result, name=call[0])], request.args

    def _reply(self, turns: list[Turn]) -> list[Turn]:
        """The assistant's closing words, which repeat the result, or nothing."""
        luck = self.rng.random()
        return [*turns, Turn("assistant", turns[-1].text if luck < 0.8 else "Here you are.")] if luck < 0.75 else turns

    def _earlier(self) -> list[Turn]:
        """What was said before and does not matter now."""
        if self.rng.random() < 0.5:
            return [
                Turn("user", self._talk_line()),
                Turn("assistant", self.rng.choice(sections("follow.txt")["replies"])),
            ]
        return self._reply(self._done(self._pick())[0])

    def _after(self) -> Example:
        """The tool has answered: nothing is left to do, or the second of two tasks."""
        if self.rng.random() < 0.3:
            multi = self._multi()
            if len(multi.calls) == 2:
                (name, args), rest = multi.calls[0], multi.calls[1:]
                tool = next(t for t in self.tools if t.shown["name"] == name)
                back = {shown: own for own, shown in tool.renamed.items()}
                done = [
                    Turn("assistant", calls=((name, args),)),
                    Turn("tool", self._result(tool, {back.get(k, k): v for k, v in args.items()}), name=name),
                ]
                return Example([*multi.turns, *done], rest, "after")
        tool = self._pick()
        turns, args = self._done(tool)
        if tool.task == "generate_image" and self.rng.random() < 0.25:
            error = self.rng.choice(sections("follow.txt")["errors"]).replace("{subject}", str(args.get("subject", "")))
            turns = [*turns[:-1], Turn("tool", error, name=tool.shown["name"])]
        return Example(turns, [], "after")

    def _followup(self) -> Example:
        rng = self.rng
        pool = [tool for tool in self.tools if tool.task in FOLLOWS]
        if not pool:
            return self._tool() if rng.random() < 0.5 else self._talk_after()
        if rng.random() < 0.15:
            return self._talk_after()
        tool = self._pick(pool)
        turns, args = self._done(tool)
        kind = rng.choice(kinds_of_change(tool))
        if tool.task == "generate_image" and rng.random() < 0.1:
            error = rng.choice(sections("follow.txt")["errors"]).replace("{subject}", str(args["subject"]))
            turns, kind = [*turns[:-1], Turn("tool", error, name=tool.shown["name"])], "after_error"
        text, args = change(tool, kind, args, rng, self.split)
        call = self._call(tool, args)
        return Example(
            [*self._reply(turns), Turn("user", self._say(text, question=text.endswith("?"), wrap=rng.random() < 0.3))],
            [call],
            "followup",
        )

    def _talk_after(self) -> Example:
        """Thanks or chat after something was made."""
        return Example([*self._reply(self._done(self._pick())[0]), Turn("user", self._talk_line())], [], "talk")


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


def _clean(turn: Turn) -> Turn:
    return Turn(turn.role, grammar.plain(turn.text), turn.calls, turn.name)
