"""Quantities: which number belongs where is read from the words beside it."""

from __future__ import annotations

import re
from random import Random

import pytest

from chains.tuning.maker import Maker
from chains.tuning.quantities import QuantityTool, quantity_list, trades


def test_the_tables_of_quantities_are_whole() -> None:
    assert len(trades()) > 50
    for trade in trades():
        labels = {quantity.label for quantity in trade.quantities}
        assert len(labels) == len(trade.quantities) > 1, trade.names
        assert all(way.count("*") == 1 for quantity in trade.quantities for way in quantity.ways), trade.names
        for message in trade.messages:
            assert set(re.findall(r"\{([^}]+)\}", message)) <= labels, message


@pytest.mark.parametrize("seed", range(10))
def test_each_number_is_said_and_stands_where_it_belongs(seed: int) -> None:
    rng = Random(seed)
    for tool in quantity_list(rng, "train"):
        assert isinstance(tool.lookup, QuantityTool)
        for _ in range(10):
            request = tool.lookup.request(rng)
            assert request.args and list(request.args) == [name for name in tool.lookup.shown if name in request.args]
            assert set(tool.schema["parameters"]["required"]) <= set(request.args)
            figures = [value for value in request.args.values() if abs(value) >= 1000]
            assert all(str(value) in request.text for value in figures), (request.text, request.args)
            assert "{" not in request.text and "*" not in request.text


def test_they_come_up_in_training() -> None:
    lists = [Maker(seed=3).group(i, examples=1).tools for i in range(60)]
    names = {name for trade in trades() for name in trade.names}
    assert any(tools[0]["name"] in names for tools in lists)
