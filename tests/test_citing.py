"""The names of the values that a reply tells, as the model is taught to write them in front."""

from __future__ import annotations

import json

import pytest

from chains.prompting import NO_TOOL, Turn
from chains.tuning.citing import cited
from chains.tuning.maker import Maker
from chains.tuning.packing import answer_text
from chains.tuning.writer import Example

STAFF = json.dumps({"name": "Farah Siddiq", "manager": "Lionel Bragg", "deputy": "Ana Kos", "desk": 4})


@pytest.mark.parametrize(
    ("result", "question", "reply", "named"),
    [
        (STAFF, "farah siddiq's manager?", "The manager is Lionel Bragg.", "The manager is {manager} Lionel Bragg."),
        (STAFF, "who is above Farah Siddiq", "Farah Siddiq: Lionel Bragg.", "Farah Siddiq: {manager} Lionel Bragg."),
        (STAFF, "deputy and desk", "Ana Kos, at desk 4.", "{deputy} Ana Kos, at desk {desk} 4."),
        (STAFF, "age?", "The result does not give the age.", "The result does not give the age."),
        ('{"won": 4, "drawn": 4}', "how many draws", "Drawn were 4.", "Drawn were {drawn} 4."),
        ('{"left": 14, "due": 4}', "how many are due", "There are 4.", "There are {due} 4."),
        ('{"from": "05:48", "to": "5"}', "when", "It leaves at 05:48.", "It leaves at {from} 05:48."),
        ('{"no": 7}', "which", "It is (7) or #7.", "It is (7) or #7."),  # no space that the name could stand behind
        ("day,rain\nMon,4 mm\nTue,9 mm", "rain on Tuesday?", "It will be 9 mm.", "It will be {rain} 9 mm."),
        ("<dep>06:55</dep><arr>09:50</arr>", "when am I there", "At 09:50.", "At {arr} 09:50."),
        ("Scatter with dill before serving.", "which herb?", "You take dill.", "You take dill."),
    ],
)
def test_the_name_stands_before_the_value(result: str, question: str, reply: str, named: str) -> None:
    assert cited([result], question, reply) == named


def test_it_is_taught_in_replies_and_only_there() -> None:
    call = ("staff", {"person": "farah"})
    turns = [Turn("user", "manager of farah"), Turn("assistant", calls=(call,)), Turn("tool", STAFF, name="staff")]
    assert answer_text([], Example(turns, [], "answer", "It is Ana Kos.")) == f"{NO_TOOL}\nIt is {{deputy}} Ana Kos."
    assert answer_text([], Example([Turn("user", "hi")], [], "talk")) == f"{NO_TOOL}\n"


def test_many_of_the_replies_that_are_taught_name_values() -> None:
    maker, count, naming = Maker(3), 0, 0
    for index in range(40):
        group = maker.group(index, 6)
        for example in group.examples:
            if example.reply:
                count += 1
                naming += answer_text(group.tools, example) != f"{NO_TOOL}\n{example.reply}"
    assert count > 20 and naming > 0.3 * count
