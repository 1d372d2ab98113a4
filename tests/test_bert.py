"""The masked language model: what it guesses, how it fills blanks, and that it says what else might stand there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from generators.bert import BERT, PASSES, Config
from generators.core.errors import Cancelled, CheckpointError, DataError, RequestError
from generators.core.generator import Cancel, Partial, Request
from generators.core.kneser_ney import UNKNOWN
from generators.core.training import Run
from generators.data.splits import Splits, Texts

RHYME = "The cat sat on the mat. The dog ran to the cat. A rat sat on the old brown dog.\n" * 40
SMALL = Config(layers=2, width=32, heads=2, context=16, batch=16, dropout=0.0, learning_rate=0.01)


@pytest.fixture(scope="module")
def model() -> BERT:
    made = BERT.fit(Splits(Texts((RHYME,), True), Texts((RHYME,), True)), SMALL, Run(steps=700, precision="fp32"))
    made.info.name = "bert-test"
    return made


def filled(model: BERT, text: str) -> tuple[list[str], str]:
    *notices, said = model.draw(Request("fill_blanks", {"text": text}), seed=0, cancel=Cancel())
    assert all(isinstance(notice, Partial) for notice in notices)
    return [notice.message for notice in notices], said


@pytest.mark.parametrize("blank", ["[MASK]", "___", "[mask]", "__________", "_"])
def test_a_blank_is_filled_by_what_fits(model, blank):
    told, said = filled(model, f"The dog ran {blank} the cat.")
    assert said == "The dog ran to the cat."
    assert len(told) == 1 and told[0].startswith("For the blank: to ") and "%" in told[-1]


def test_blanks_at_the_ends_and_two_at_once(model):
    assert filled(model, "___ cat sat on the mat.")[1] == "The cat sat on the mat."
    told, said = filled(model, "The ___ sat on the ___.")
    assert len(told) == 2 and said.startswith("The ") and " sat on the " in said and "_" not in said


def test_a_blank_may_hide_several_words(model):
    assert filled(model, "A rat sat ___ old brown dog.")[1] == "A rat sat on the old brown dog."
    told, said = filled(model, "A rat sat [MASK] old brown dog.")  # this is one word
    assert len(said.split()) == 7 and "a word" not in told[0]


def test_every_blank_is_guessed_anew_once_the_others_are_filled(model, monkeypatch):
    """A net that takes "cat" for likeliest while another word is hidden, and "dog" once none is."""
    known = model.vocabulary.symbols

    def logits(symbols: list[int], places: list[int]) -> torch.Tensor:
        found = torch.zeros(len(places), len(model.vocabulary), dtype=torch.float64)
        for row, place in zip(found, places, strict=True):
            alone = all(symbol != model.mask for at, symbol in enumerate(symbols) if at != place)
            row[known[" dog" if alone else " cat"]], row[known[" rat"]] = 3.0, 2.0
        return found

    monkeypatch.setattr(model, "_logits", logits)
    told, said = filled(model, "The [MASK] sat on the [MASK].")
    assert said == "The dog sat on the dog."
    assert [line.split(", ")[1].split()[0] for line in told] == ["rat", "rat"]


def test_what_fills_a_blank_is_told_first(model, monkeypatch):
    """Also where each look at one blank changes the other, so that no end is reached."""
    known, looks = model.vocabulary.symbols, []

    def logits(symbols: list[int], places: list[int]) -> torch.Tensor:
        looks.append(places)
        found = torch.zeros(len(places), len(model.vocabulary), dtype=torch.float64)
        found[:, known[" dog" if len(looks) % 2 else " cat"]] = 3.0
        return found

    monkeypatch.setattr(model, "_logits", logits)
    told, said = filled(model, "The [MASK] sat on the [MASK].")
    assert [line.split()[3] for line in told] == re.findall(r"cat|dog", said)


@pytest.mark.parametrize("gap", ["\n", "  ", "\r\n", "\t"])
def test_white_space_stays_and_is_read_as_a_space(model, gap):
    text = "The{0}cat sat on the mat.{0}The dog ran{0}___ the{0}cat."
    assert filled(model, text.format(gap)) == (
        filled(model, text.format(" "))[0],
        f"The{gap}cat sat on the mat.{gap}The dog ran{gap}to the{gap}cat.",
    )


def test_a_mark_behind_a_space_is_known(model):
    told, said = filled(model, "The dog ran ___ the cat .")
    assert said == "The dog ran to the cat ." and len(told) == 1


def test_an_underscore_within_a_word_is_no_blank(model):
    assert filled(model, "See my__cat: the dog ran __ the cat.")[1] == "See my__cat: the dog ran to the cat."


def test_a_text_of_marks_alone_is_filled_with_marks():
    made = BERT.fit(Splits(Texts(("!?" * 50,), True), Texts(("!?",), True)), SMALL, Run(steps=2))
    told, said = filled(made, "! ___ ?")
    assert said in ("! ! ?", "! ? ?") and len(told) == 1


def test_filling_can_be_cancelled(model, monkeypatch):
    cancel, guesses, looks = Cancel(), model._guesses, []

    def look(*given):
        looks.append(given)
        if len(looks) == 3:
            cancel.set()
        return guesses(*given)

    monkeypatch.setattr(model, "_guesses", look)
    with pytest.raises(Cancelled):
        list(model.draw(Request("fill_blanks", {"text": "The ___ sat on the ___."}), seed=0, cancel=cancel))
    assert len(looks) == 3


def test_alternatives_are_in_order(model):
    (told,), _ = filled(model, "The dog ran ___ the cat.")
    shares = [int(part.rpartition(" ")[2].rstrip("%.")) for part in told.partition(": ")[2].split(", ")]
    assert shares == sorted(shares, reverse=True) and sum(shares) <= 101


def test_a_text_without_a_blank_says_how_to_write_one(model):
    with pytest.raises(RequestError, match=r"write \[MASK\] or ___"):
        filled(model, "The cat sat on the mat.")
    with pytest.raises(RequestError, match="at most 16"):
        filled(model, "___ " * 17)


def test_unknown_words_are_named_and_read_past(model):
    told, said = filled(model, "The zebra ran ___ the cat.")
    assert "does not know the words zebra" in told[0] and said.startswith("The zebra ran ")
    unknown, hidden = (model.net(torch.tensor([[5, symbol, 7]])) for symbol in (UNKNOWN, model.mask))
    assert torch.equal(unknown, hidden)


def test_a_text_longer_than_the_context(model):
    assert filled(model, RHYME[:400].replace("\n", " ") + "The dog ran ___ the cat.")[1].endswith(
        "The dog ran to the cat."
    )


def test_the_score_guesses_every_word_once(model):
    text = RHYME[:80]
    symbols = model.vocabulary.encode(text)
    whole = len(symbols) // 16 * 16  # then what is left, shorter
    total = 0.0
    for begin, end in ((0, whole), (whole, len(symbols))):
        for i, symbol in enumerate(symbols[begin:end]):
            shown = torch.from_numpy(symbols[begin:end].copy())
            shown[torch.arange(len(shown)) % PASSES == i % PASSES] = model.mask
            logits = model.net(shown.view(-1, min(16, len(shown)))).flatten(0, 1)[i]
            total += float(functional.cross_entropy(logits[1:], torch.tensor(symbol - 1)))
    figures = model.score(Texts((text,), True))
    assert figures["n"] == len(symbols)
    assert figures["masked_nats_per_word"] == pytest.approx(total / len(symbols), abs=1e-5)
    assert 0.5 < figures["top_1"] <= figures["top_5"] <= 1


def test_words_that_are_not_known_count_as_missed(model):
    figures = model.score(Texts(("xyzzy " * 20,), True))
    assert figures["masked_nats_per_word"] == pytest.approx(np.log(len(model.vocabulary)), rel=0.2)
    assert figures["top_5"] == 0


def test_rare_words_are_left_out():
    made = BERT.fit(
        Splits(Texts((RHYME + "".join(f" w{i}" for i in range(200)),), True), Texts((RHYME,), True)),
        Config(layers=1, width=8, heads=1, context=8, batch=4, words=100),
        Run(steps=1),
    )
    assert len(made.vocabulary) == 101


def test_saved_and_loaded_it_fills_the_same(model, tmp_path: Path):
    again = BERT.from_pretrained(model.save_pretrained(tmp_path / "m"))
    assert filled(again, "The ___ ran.") == filled(model, "The ___ ran.")
    assert again.score(Texts((RHYME[:200],), True)) == model.score(Texts((RHYME[:200],), True))
    state = model.state()
    state["net.bias"] = state["net.bias"][:3]
    with pytest.raises(CheckpointError, match="do not fit its config"):
        BERT.from_state(model.info, state)


def test_too_little_text():
    for text, why in (("", "no text to learn from"), ("\n\n", "no text to learn from"), ("word", "holds one word")):
        with pytest.raises(DataError, match=why):
            BERT.fit(Splits(Texts((text,), True), Texts(("",), True)), SMALL, Run(steps=1))


def test_it_is_a_tool_that_says_what_it_filled_in(model, home):
    from chains import generator_tool

    model.save_pretrained(home / "models" / "bert-rhyme")
    said = generator_tool("bert-rhyme").invoke({"text": "The dog ran ___ the cat."})
    assert said.startswith("Filled the blanks with bert-rhyme, seed ") and ": The dog ran to the cat. (id " in said
    assert "For the blank: to " in said
