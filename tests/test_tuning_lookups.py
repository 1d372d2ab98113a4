"""Lookups: whole exchanges whose reply tells the fact that was asked for."""

from __future__ import annotations

import json
import re
from random import Random

import pytest

from chains.grammar import compile_tool
from chains.tuning import copied_code, grammar
from chains.tuning.answers import SLOT
from chains.tuning.lookups import Lookup, LookupRequest, code_list, lookup_list, lookups, unseen_lookup
from chains.tuning.maker import LOOKUP_SHARES, example
from chains.tuning.writer import Writer


@pytest.mark.parametrize("lookup", lookups(), ids=lambda lookup: lookup.schema["name"])
def test_every_exchange_holds_together(lookup: Lookup) -> None:
    compile_tool(lookup.schema)
    required = {lookup.slots[name] for name in lookup.schema["parameters"]["required"]}
    for block in lookup.blocks:
        for ask in block.asks:
            said = {found[0] for found in SLOT.finditer(ask)}
            told = {found[0] for result, _ in block.answers for found in SLOT.finditer(result)}
            assert required <= said <= {*lookup.slots.values(), *told}, ask  # what no argument takes picks a row
        for result, reply in block.answers:
            tags = [tag for tag in re.findall(r"<(\w+)>", result) if not SLOT.fullmatch(f"<{tag}>")]
            assert all(f"</{tag}>" in result for tag in tags), result  # else a slot that was spelt wrong
            known = {found[0] for found in SLOT.finditer(result)} | set(lookup.slots.values())
            assert {found[0] for found in SLOT.finditer(reply)} <= known, reply
    request = LookupRequest(lookup, Random(1))
    result, reply = request.exchange()
    assert not SLOT.search(result + reply + request.text) and "\\n" not in result
    for value in request.args.values():
        assert value in json.loads(f"[{value}]") if not isinstance(value, str) else value in request.text


@pytest.mark.parametrize("notation", copied_code.NOTATIONS)
def test_code_of_each_notation(notation: str) -> None:
    rng = Random(2)
    for _ in range(50):
        line, block = copied_code.code_line(rng, notation), copied_code.code_block(rng, notation)
        assert line.strip() and "\n" not in line and block.strip() and "`" not in line + block


def test_tools_of_one_notation_get_no_other() -> None:
    formulas = [lookup for lookup in lookups() if "formula" in lookup.notations.values()]
    assert formulas
    for lookup in formulas:
        if set(lookup.notations.values()) == {"formula"}:
            assert any(str(value).startswith("=") for value in LookupRequest(lookup, Random(3)).args.values())


def test_lists_of_tools_that_take_code() -> None:
    for seed in range(20):
        tools = [tool for tool in code_list(Random(seed), "train") if tool.lookup]
        assert sum(tool.lookup.takes_code for tool in tools) >= 2
        assert len({tool.shown["name"] for tool in tools}) == len(tools)


def test_lists_and_what_they_lack() -> None:
    kinds: dict[str, int] = {}
    for seed in range(60):
        rng = Random(seed)
        tools = lookup_list(rng, "train")
        assert len({tool.shown["name"] for tool in tools}) == len(tools)
        assert not any(tool.lookup and tool.lookup.dev for tool in tools)
        lacking = unseen_lookup(tools, rng, "train").shown["name"]
        assert lacking not in {tool.shown["name"] for tool in tools}
        made = example(Writer(tools, rng, "train"))
        kinds[made.kind] = kinds.get(made.kind, 0) + 1
        if made.kind == "answer":
            assert made.reply and made.turns[-1].role == "tool" and not made.calls
            facts = re.findall(r"\d[\d.:,]*\d", grammar.plain(made.reply))
            heard = " ".join([str(turn.text) for turn in made.turns])
            assert all(fact in heard for fact in facts), (heard, made.reply)
    assert set(kinds) == set(LOOKUP_SHARES)
