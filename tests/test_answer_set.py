"""Replies that rest on a tool's result, and what is said where the model is not sure what in it answers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

import chains.answer_set
import chains.turn
from chains.answer_set import MORE, Weighing, _cut, _likeliest, comparable, informs, invents, quotation, tells
from chains.chat_model import ChatArtwright
from chains.choice import candidates
from chains.results import as_lines, read

CARD = {
    "name": "sim_card",
    "description": "Look up a SIM card by its number.",
    "parameters": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]},
}
RECORD = '{"operator": "Vega Mobil", "pin": "4471", "puk": "90277135", "activated": "2023-04-02", "plan": "Flex 10"}'
PROSE = "The card was activated by Vega Mobil on 2 April 2023; its PIN is 4471 and its PUK 90277135."


def told(result: str, question: str = "which operator is card 77 with?", **options: Any) -> AIMessage:
    call = {"name": "sim_card", "args": {"number": "77"}, "id": "1", "type": "tool_call"}
    messages = [HumanMessage(question), AIMessage("", tool_calls=[call]), ToolMessage(result, tool_call_id="1")]
    answer = ChatArtwright(max_tokens=60).bind_tools([CARD], tool_choice="none").invoke(messages, **options)
    assert isinstance(answer, AIMessage)
    return answer


def always(monkeypatch: pytest.MonkeyPatch, sure: bool) -> None:
    """Make any reply sure, or none."""
    for module in (chains.answer_set, chains.turn):
        monkeypatch.setattr(module, "COVERAGE", 1e-9 if sure else 1.01)


def test_a_sentence_where_one_value_is_sure_to_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, True)
    for result in (RECORD, PROSE):
        answer = told(result)
        assert "Vega Mobil" in answer.text and answer.text not in (result, as_lines(result))
        assert "quoted" not in answer.response_metadata


def test_else_the_likeliest_lines_of_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, False)
    answer = told(RECORD)
    lines = answer.text.split("\n")
    assert answer.response_metadata["quoted"] and len(lines) == chains.answer_set.MOST_LINES + 1
    assert lines[0] == "operator: Vega Mobil" and set(lines[:-1]) < set(as_lines(RECORD).split("\n"))
    assert lines[-1] == MORE


def test_or_the_prose_itself_if_it_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, False)
    answer = told(PROSE)
    assert answer.text == PROSE and answer.response_metadata["quoted"]
    long = f"{PROSE} {'It has been topped up again and again since then. ' * 6}"
    assert told(long).text not in (long, "") and "quoted" not in told(long).response_metadata


def test_streamed_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    call = {"name": "sim_card", "args": {"number": "77"}, "id": "1", "type": "tool_call"}
    llm = ChatArtwright(max_tokens=60).bind_tools([CARD], tool_choice="none")
    for sure in (True, False):
        always(monkeypatch, sure)
        for result in (RECORD, PROSE):
            asked = [
                HumanMessage("which operator?"),
                AIMessage("", tool_calls=[call]),
                ToolMessage(result, tool_call_id="1"),
            ]
            assert "".join(str(piece.text) for piece in llm.stream(asked)) == llm.invoke(asked).text


@pytest.mark.parametrize("result", [RECORD, PROSE])
def test_a_quotation_ends_as_other_text_does(monkeypatch: pytest.MonkeyPatch, result: str) -> None:
    always(monkeypatch, False)
    whole = told(result).text
    assert told(result, stop=["Mobil"]).text == whole[: whole.index("Mobil")]
    early = told(result, stop=["Mobil"], max_tokens=12)
    assert early.text == whole[: whole.index("Mobil")] and early.response_metadata["finish_reason"] == "stop"
    short = told(result, max_tokens=4)
    assert whole.startswith(short.text) and short.response_metadata["finish_reason"] == "length"
    assert short.usage_metadata and short.usage_metadata["output_tokens"] == 4


def test_what_comes_of_two_results_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, False)
    calls = [{"name": "sim_card", "args": {"number": n}, "id": n, "type": "tool_call"} for n in "78"]
    results = [ToolMessage(json.dumps({"pin": 1000 + int(n), "plan": "Flex"}), tool_call_id=n) for n in "78"]
    llm = ChatArtwright(max_tokens=30).bind_tools([CARD], tool_choice="none")
    answer = llm.invoke([HumanMessage("the PINs of cards 7 and 8"), AIMessage("", tool_calls=calls), *results])
    assert answer.text and "quoted" not in answer.response_metadata


def test_the_set_is_as_small_as_the_probability_allows() -> None:
    values = list(read(RECORD).values)
    ranked = [([values[2]], 0.7), ([values[1]], 0.27), ([values[0]], 0.02), ([values[3]], 0.01)]
    assert _likeliest(ranked) == ([values[2], values[1]], False)
    assert _likeliest([([values[2]], 0.96), *ranked[1:]]) == ([values[2]], True)
    assert _likeliest([(values[1:3], 0.96), *ranked[2:]]) == (values[1:3], True)
    assert quotation([values[2], values[1]]) == "puk: 90277135\npin: 4471"
    assert quotation(values[:4]).count("\n") == 3 and MORE not in quotation(values[:4])
    assert quotation(values).endswith(f"activated: 2023-04-02\n{MORE}")


def test_of_a_row_its_first_part_stands_beside_what_is_meant() -> None:
    visits = [{"visit": "first", "kg": 31, "vet": "Moe"}, {"visit": "latest", "kg": 29, "vet": "Moe"}]
    name, _, first, moe, _, latest, also_moe = read(json.dumps({"pet": "Luna", "visits": visits})).values
    assert quotation([latest, first, name]).split("\n") == [
        "visits 2: visit: latest; kg: 29", "visits 1: visit: first; kg: 31", "pet: Luna",
    ]  # fmt: skip
    assert quotation([latest, moe, also_moe]).split("\n") == [
        "visits 2: visit: latest; kg: 29; vet: Moe", "visits 1: visit: first; vet: Moe",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("result", "count"),
    [
        (RECORD, 5),
        ('[{"gate": 1, "dest": "Rome"}, {"gate": 14, "dest": "Oslo"}]', 4),
        ("The meeting was moved to Thursday.\nNote: bring your badge\nRoom: 4", 0),  # what is meant may have no name
        ("<h1>Zoo</h1><p>We open at nine\nand close at five.</p><p>Dogs stay out.</p>", 0),
        ("<p>One.</p><p>Two.</p>", 0),
        ("gate: 14", 0),
        ("gate: 14\ngate: 14", 0),
        ("", 0),
        (json.dumps({f"field{i}": i for i in range(99)}), 0),
    ],
)
def test_what_can_be_compared(result: str, count: int) -> None:
    assert len(comparable(read(result))) == count


def test_a_value_that_begins_another_one_is_no_part_of_it() -> None:
    gates = [{"gate": 1, "dest": "Rome"}, {"gate": 14, "dest": "Oslo"}, {"gate": 7, "dest": "Bari"}]
    answer = told(json.dumps(gates), "at which gate does the plane to Oslo stand?")
    assert "14" in answer.text


def test_a_long_value_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, False)
    answer = told(json.dumps({"operator": "Vega Mobil", "terms": "No refunds. " * 40}))
    assert answer.text and "quoted" not in answer.response_metadata


WORDS = ["It", " opens", " at", " 9", " 17", ".", " gate", " noon"]


def weighed(result: str, *steps: dict[str, float]) -> Weighing:
    """A reply whose tokens have the probabilities of `steps`, the likeliest first."""
    tokenizer = SimpleNamespace(encode=lambda text, **_: [i for i, word in enumerate(WORDS) if word.strip() in text])
    engine: Any = SimpleNamespace(
        tokenizer=tokenizer, vocabulary=SimpleNamespace(bytes=[word.encode() for word in WORDS])
    )
    greedy: Any = SimpleNamespace(pick=lambda logits: int(logits.argmax()))
    weighing = Weighing(greedy, engine, result, "is the gate open at 17")
    for step in steps:
        p = torch.tensor([step.get(word, 1e-9) for word in WORDS])
        assert WORDS[weighing.pick(p.log())] == max(step, key=lambda word: step[word])
    return weighing


def test_words_from_the_result_are_weighed_against_each_other() -> None:
    hours = "gate: from 9 to 17 daily"
    assert weighed(hours, {"It": 0.5, " at": 0.5 - 1e-6}, {" 9": 0.5, " noon": 0.4}).share == pytest.approx(1, abs=1e-3)
    assert weighed(hours, {"It": 1.0}, {" 9": 0.5, " 17": 0.4}).share == pytest.approx(5 / 9, abs=1e-4)
    assert weighed(hours, {" gate": 0.5, " 9": 0.4}).share == 1.0  # a word of the question is free


@pytest.mark.parametrize(
    ("reply", "result", "told"),
    [
        ("It opens at 9:30.", "Doors: 9:30, show: 20:00", True),
        ("Marta won.", "Marta beat Oleg, cup to Marta", False),  # a sentence's first word has its capital anyway
        ("The cup goes to Marta.", "Marta beat Oleg", True),
        ("It is on time.", "OS455 is on time, seats 17E and 17F", False),
        ("It is for notifier 1.12.", "Deployment dep-40af started for notifier 1.12", False),  # that was asked
        ("Done.", "OK", False),
        ("它在三楼。", "三楼", False),
        ("它在 三楼。", "三楼", True),
        ("", "9", False),
        ("Done. The card works.", "The card was activated", False),
    ],
)
def test_a_reply_has_to_take_a_figure_or_a_name(reply: str, result: str, told: bool) -> None:
    assert informs(reply, result, "push notifier 1.12 now, and who won?") == told


def test_where_sentence_and_names_differ_both_are_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    values = list(read(RECORD).values)
    monkeypatch.setattr(chains.turn, "answer_set", lambda *_: ([values[1]], True))
    answer = told(RECORD)
    assert answer.text.split("\n") == ["pin: 4471", "operator: Vega Mobil"] and answer.response_metadata["quoted"]


STAFF = '{"name": "Farah Siddiq", "room": "231", "desk": 4, "manager": "Lionel Bragg", "floor": "2", "branch": "2"}'


@pytest.mark.parametrize(
    ("reply", "name", "good"),
    [
        ("The manager is Lionel Bragg.", "manager", True),
        ("Farah Siddiq's manager is Lionel Bragg.", "manager", True),  # she was asked about
        ("The manager is Lionel Bragg and the room is 4.", "manager", False),
        ("The room is 231.", "manager", False),
        ("There is none.", "manager", False),
        ("It is 2.", "floor", True),  # whatever else is 2
    ],
)
def test_a_reply_tells_what_is_meant_and_nothing_else(reply: str, name: str, good: bool) -> None:
    values = read(STAFF).values
    meant = [value for value in values if value.name == name]
    assert tells(reply, meant, values, "who is Farah Siddiq's boss?") == good


def test_of_a_row_it_may_tell_more() -> None:
    values = read('[{"to": "Rome", "dep": "9:05", "gate": 4}, {"to": "Oslo", "dep": "9:30", "gate": 7}]').values
    assert tells("The one to Rome leaves at 9:05.", [values[1]], values, "when is the first?")
    assert not tells("It leaves at 9:05 from gate 7.", [values[1]], values, "when is the first?")


def test_a_figure_that_nobody_gave() -> None:
    assert invents("It costs 55.", "price: 9", "what is it?") and not invents("It costs 9.", "price: 9")
    assert not invents("Room 14 has 2 beds.", "beds: 2", "room 14?") and not invents("It is on.", "state: on")
    assert invents("It is 4.", "It is -4.")


def test_what_begins_alike_is_compared_to_where_it_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains.answer_set, "_LENGTH", 2)
    assert _cut([[1, 2, 3, 4, 5], [1, 2, 3, 9, 5], [7, 8, 9], [1, 2, 3, 4, 5]]) == [
        (1, 2, 3, 4), (1, 2, 3, 9), (7, 8), (1, 2, 3, 4),
    ]  # fmt: skip
    assert _cut([[1, 2, 3], [1, 2, 3, 4, 5]]) == [(1, 2, 3), (1, 2, 3, 4)]


def test_long_values_that_begin_alike_are_told_apart() -> None:
    path = "/usr/local/lib/python3.11/site-packages/numpy"
    files = [{"path": f"{path}/core/numeric.py", "kb": 3}, {"path": f"{path}/linalg/solve.py", "kb": 9}]
    answer = told(json.dumps(files), "which file has 9 kb?")
    assert "solve.py" in answer.text


def test_a_value_that_begins_another_does_not_end_where_that_goes_on() -> None:
    nine, half_past = candidates(["9", "9:30"], [[1], [1, 2, 3]], [[2, 5], [2, 5]])
    assert nine.ends == (5,) and half_past.ends == ()
