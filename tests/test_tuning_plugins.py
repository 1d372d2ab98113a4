"""Made requests for plugins' tools: every call fits the tool as it was shown, and says what the person said."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import pytest
from jsonschema import Draft202012Validator

from chains.tuning import grammar
from chains.tuning.complete import complete_tools
from chains.tuning.followups import followup
from chains.tuning.parts import domains, put_together
from chains.tuning.plugin_requests import PluginRequest
from chains.tuning.plugins import Plugin, plugin_list, plugins
from chains.tuning.writer import Writer


def a_list(seed: int, split: str = "train") -> Writer:
    rng = Random(seed)
    return Writer(plugin_list(rng, split), rng, split)


def test_the_tables_are_whole() -> None:
    assert len(plugins()) > 150
    for plugin in plugins():
        check_table(plugin)


def check_table(plugin: Plugin) -> None:
    required = [arg.id for arg in plugin.args.values() if arg.required]
    assert plugin.nouns, plugin.names
    assert plugin.abouts and len(plugin.frames) >= 8
    for arg in plugin.args.values():
        assert arg.ways and (arg.kind == "bool" or all("*" in way for way in arg.ways))
        assert {
            "enum": arg.choices,
            "list": arg.values,
            "text": arg.values,
            "quote": arg.values,
            "bool": lambda: True,
        }.get(arg.kind, arg.bounds)()
    for frame in plugin.frames:
        slots = [slot.partition("=")[::2] for slot in re.findall(r"\{([^}]*)\}", frame)]
        assert {name for name, _ in slots} <= set(plugin.args)
        assert all(value in plugin.args[name].choices() for name, value in slots if value and name_is(plugin, name))
        outside = re.sub(r"\[[^\[\]]*\|[^\[\]]*\]", "", frame)
        assert all(re.search(rf"\{{{name}[=}}]", outside) for name in required), frame


def name_is(plugin: Plugin, name: str) -> bool:
    return plugin.args[name].kind == "enum"


@pytest.mark.parametrize("seed", range(16))
def test_calls_fit_the_schema_that_is_shown(seed: int) -> None:
    writer = a_list(seed)
    for tool in writer.tools:
        if tool.plugin is None:
            continue
        check = Draft202012Validator(tool.shown["parameters"])
        for _ in range(8):
            text, (name, args), _ = writer.single(tool)
            assert name == tool.shown["name"] and text.strip()
            assert check.is_valid(args), (text, args, [error.message for error in check.iter_errors(args)])
        made = followup(writer)
        shown = {tool.shown["name"]: tool.shown for tool in writer.tools}
        for name, args in made.calls:
            assert set(args) <= set(shown[name]["parameters"]["properties"])


def test_what_is_copied_stands_in_the_request() -> None:
    for seed in range(60):
        writer = a_list(seed)
        tool = next(tool for tool in writer.tools if tool.plugin is not None)
        request = PluginRequest(tool.plugin, writer.rng, "train")
        request.make()
        own = {shown: tool.plugin.plugin.args[name] for name, shown in tool.plugin.shown.items()}
        for name, value in request.args.items():
            if own[name].kind == "text" and f"{{{own[name].id}=" not in " ".join(tool.plugin.plugin.frames):
                assert str(value) in grammar.plain(request.text)


def test_the_dev_split_has_tools_of_its_own() -> None:
    seen = {
        split: {tool.task for seed in range(60) for tool in a_list(seed, split).tools if tool.plugin is not None}
        for split in ("train", "dev")
    }
    assert seen["train"] and seen["dev"] and not seen["train"] & seen["dev"]
    names = [plugin.names[0] for plugin in (*plugins(), *complete_tools())]
    assert len(set(names)) == len(names)


def test_the_parts_are_whole() -> None:
    assert len(domains()) >= 12
    for domain in domains():
        assert len(domain.things) > 8 and len(domain.args) > 20, domain.name
        for thing in domain.things:
            assert thing.verbs and thing.nouns and thing.abouts and len(thing.frames) > 3, thing
            assert not any("{" in frame for frame in thing.frames)
        for arg in domain.args:
            assert not arg.required and arg.about and arg.ways
            assert bool(arg.nays) == (arg.kind == "bool"), arg.id
            assert arg.kind == "bool" or all(way.count("*") == 1 for way in arg.ways), arg.id
            if arg.kind == "enum":
                said = [way for ways in arg.choices().values() for way in ways]
                assert len(arg.choices()) > 2 and len(set(said)) == len(said), arg.id


def test_composed_tools_hardly_ever_come_twice() -> None:
    made = [put_together(Random(seed), "train") for seed in range(200)]
    assert len({(plugin.names[0], *plugin.args) for plugin in made}) > 195
    assert not {plugin.names for plugin in made} & {put_together(Random(s), "dev").names for s in range(50)}


def test_no_tool_is_always_shown_alike() -> None:
    shown = {}
    for seed in range(1000):
        for tool in a_list(seed).tools:
            if tool.plugin is not None and not tool.plugin.plugin.from_parts:
                shown.setdefault(tool.task, set()).add(str(tool.shown))
    assert sum(len(versions) for versions in shown.values()) > 2 * len(shown)


_VERBS = {
    "plan", "make", "write", "compose", "blend", "build", "design", "mix", "draw", "order", "find", "get", "set",
    "book", "pick", "choose", "create", "tool",
}  # fmt: skip


def _things(name: str) -> set[str]:
    """What a tool's name is about: "designCrests" to {"crest"}."""
    words = re.findall(r"[a-z]{3,}", re.sub(r"([A-Z])", r" \1", name).lower())
    return {word.rstrip("s") for word in words} - _VERBS


def test_no_tool_named_like_one_that_is_measured_with_is_taught() -> None:
    bench = Path(__file__).parent / "bench"
    lists = [bench / f"{name}plugin_tools.json" for name in ("", "dev_")]
    measured = [tool["name"] for file in lists for tool in json.loads(file.read_text("utf-8"))]
    cases = [bench / f"{name}_plugins.jsonl" for name in ("dev", "heldout")]
    for line in (line for file in cases for line in file.read_text("utf-8").splitlines()):
        measured += [tool["name"] for tool in json.loads(line)["tools"] if isinstance(tool, dict)]
    taught = [name for plugin in (*plugins(), *complete_tools()) for name in plugin.names]
    taught += [noun for domain in domains() for thing in domain.things for noun in thing.nouns]
    wanted = [things for name in set(measured) if (things := _things(name))]
    assert len(wanted) > 8
    assert not [name for name in taught if any(things <= _things(name.replace(" ", "_")) for things in wanted)]
