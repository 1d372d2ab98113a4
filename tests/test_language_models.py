"""The neural language models: exact scores, decoding that carries what was read, writing, inventing, resuming."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

import generators
from generators.core.errors import Cancelled, CheckpointError, DataError, RequestError
from generators.core.generator import Cancel, Partial, Request
from generators.core.kneser_ney import UNKNOWN
from generators.core.layers import looked_back
from generators.core.symbols import stored
from generators.core.training import Run
from generators.core.vocabulary import Characters
from generators.data import text
from generators.data.splits import Splits, Texts
from generators.nanochat import export, load_exported
from generators.rnn import CELLS, step

FAMILIES = {
    "gpt": {"layers": 2, "width": 16, "heads": 2, "context": 16, "batch": 8},
    "rnn": {"layers": 2, "width": 16, "context": 16, "batch": 8},
    "gru": {"layers": 2, "width": 16, "context": 16, "batch": 8},
    "lstm": {"layers": 2, "width": 16, "context": 16, "batch": 8},
}
RHYME = "the cat sat on the mat. the dog ran to the cat. a rat sat on the dog.\n" * 30
NAMES = ("Anna", "Hanna", "Nina", "Tina", "Lena", "Nora", "Dora", "Tora", "Hana", "Lina") * 4


def fitted(family: str, texts: Texts, steps: int = 200, **options):
    cls = generators.family(family)
    model = cls.fit(Splits(texts, texts), cls.Config(**{**FAMILIES[family], **options}), Run(steps=steps))
    model.info.name = f"{family}-test"
    return model


@pytest.fixture(scope="module", params=FAMILIES)
def writer(request):
    return fitted(request.param, Texts((RHYME,), True))


@pytest.fixture(scope="module", params=FAMILIES)
def inventor(request):
    kinds = tuple(int(name in ("Nora", "Dora", "Tora")) for name in NAMES)
    return fitted(request.param, Texts(NAMES, False, kinds, ("na", "ora")), steps=150)


def made(model, task: str, seed: int = 1, **args) -> list:
    """What is made, and the notices before it."""
    drawn = model.draw(Request(task, args), seed=seed, cancel=Cancel())
    return [item for item in drawn if not (isinstance(item, Partial) and item.text)]


def told(model, **args) -> tuple[list[str], str]:
    """A text as it grows, and what it comes to."""
    *parts, text = model.draw(Request("write_text", args), seed=1, cancel=Cancel())
    return [part.text for part in parts], text


def test_it_learns(writer):
    figures = writer.score(Texts((RHYME[:700],), True))
    assert figures["n"] == 700 and figures["nats_per_char"] < 1.2


def test_carried_decoding_equals_reading_anew(writer):
    symbols = writer.vocabulary.encode("the cat sat on the dog")[:15].tolist()
    predictor = writer.predictor
    state = predictor.context(symbols[:1])
    for symbol in symbols[1:]:
        state = predictor.extend(state, symbol)
    anew = predictor.context(symbols)
    assert torch.allclose(state.logits, anew.logits, atol=1e-4)
    assert predictor.distribution(state).sum() == pytest.approx(1)


def test_a_state_stays_as_it_is_when_it_is_extended(writer):
    predictor = writer.predictor
    state = predictor.context(writer.vocabulary.encode("the ").tolist())
    before = predictor.distribution(state)
    ends = [predictor.distribution(predictor.extend(state, symbol)) for symbol in (3, 4, 3)]
    assert np.array_equal(before, predictor.distribution(state)) and np.array_equal(ends[0], ends[2])


def test_the_score_is_the_sum_over_every_character(writer):
    text = RHYME[:61]
    symbols = [UNKNOWN, *writer.vocabulary.encode(text).tolist()]
    reach, total = writer.reach, 0.0
    for i in range(1, len(symbols)):
        half = reach // 2
        begin = 0 if not reach or i <= reach else (i - 1 - half) // half * half
        if reach and i > (len(symbols) - 1) // half * half:  # what is left over: one window more, back from the end
            begin = len(symbols) - 1 - reach
        p = writer.predictor.distribution(writer.predictor.context(symbols[begin:i]))
        total -= np.log(p[symbols[i]])
    assert writer.score(Texts((text,), True))["nats_per_char"] == pytest.approx(total / len(text), abs=1e-5)


def test_what_was_never_seen_has_a_cost(writer):
    plain, odd = (writer.score(Texts((text,), True))["nats_per_char"] for text in ("the cat", "the c\u00e6t"))
    assert np.isfinite(odd) and odd > plain


def test_text_goes_on_from_the_prompt(writer):
    text = made(writer, "write_text", prompt="the cat", words=12)[-1]
    assert text.startswith("the cat") and 5 <= len(text.split()) <= 20
    assert made(writer, "write_text", words=12) == made(writer, "write_text", words=12)
    assert made(writer, "write_text", words=12) != made(writer, "write_text", seed=2, words=12)


def test_a_prompt_longer_than_the_context_and_of_odd_characters(writer):
    notice, text = made(writer, "write_text", prompt="the cat sat \u00e6 " * 9, words=8)
    assert isinstance(notice, Partial) and "does not know the characters \u00e6" in notice.message
    assert text.startswith("the cat sat \u00e6")


def test_a_text_is_told_while_it_grows(writer):
    parts, text = told(writer, prompt="the cat", words=12)
    assert len(parts) >= len(text) - len("the cat") and all(part.startswith("the cat") for part in parts)
    assert all(after.startswith(before) for before, after in itertools.pairwise(parts)) and parts[-1].startswith(text)


def test_a_text_around_a_word_is_told_from_its_beginning(writer):
    parts, text = told(writer, prompt="the cat", must_include="rat", words=5)
    assert all(part.startswith("the cat") for part in parts) and parts[-1].startswith(text)


def test_cancelling_stops_in_the_middle_of_a_text(writer):
    cancel = Cancel()
    steps = writer.generate(Request("write_text", {"words": 12}), seed=1, cancel=cancel)
    assert next(steps).text
    cancel.set()
    with pytest.raises(Cancelled):
        next(steps)


@pytest.mark.parametrize("cell", CELLS)
def test_a_step_is_what_the_layer_makes_of_one_position(cell):
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(1)
        layer = CELLS[cell](24, 24, batch_first=True)
        x, state = torch.randn(3, 1, 24), layer(torch.randn(3, 5, 24))[1]
        torch.testing.assert_close(step(layer, x, state), layer(x, state), atol=1e-5, rtol=0)


def test_one_position_looks_back_as_torch_does():
    random = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(2, 3, s, 8, generator=random) for s in (1, 9, 9))
    theirs = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(looked_back(q, k, v), theirs, atol=1e-6, rtol=0)


def test_a_word_that_must_be_in_it(writer):
    text = made(writer, "write_text", must_include="rat", words=10)[-1]
    assert "rat" in text.replace(".", " ").split()


def test_saved_and_loaded_it_writes_the_same(writer, tmp_path: Path):
    folder = writer.save_pretrained(tmp_path / "m")
    again = type(writer).from_pretrained(folder)
    assert made(again, "write_text", words=9) == made(writer, "write_text", words=9)
    assert again.score(Texts((RHYME[:100],), True)) == writer.score(Texts((RHYME[:100],), True))
    state = writer.state()
    state["net.symbols.weight"] = state["net.symbols.weight"][:, :3]
    with pytest.raises(CheckpointError, match="do not fit its config"):
        type(writer).from_state(writer.info, state)


def test_names_are_new_and_of_their_kind(inventor):
    names = made(inventor, "invent_names", kind="ora", count=2)[-1].splitlines()
    assert names and all(name for name in names)
    assert inventor.score(Texts(NAMES, False))["nats_per_char"] < 1.5
    with pytest.raises(RequestError, match="kind 'fish'; it knows na, ora, any"):
        made(inventor, "invent_names", kind="fish")


def test_an_items_score_is_that_of_its_own_characters(inventor):
    one, two = (
        inventor.score(Texts(items, False, (0,) * len(items), ("na", "ora"))) for items in (NAMES[:1], NAMES[:2])
    )
    second = inventor.score(Texts(NAMES[1:2], False, (0,), ("na", "ora")))
    total = one["nats_per_char"] * one["n"] + second["nats_per_char"] * second["n"]
    assert two["nats_per_char"] * two["n"] == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_cancel_and_resume_give_the_unbroken_runs_weights(family, tmp_path: Path):
    cls, cancel = generators.family(family), Cancel()
    data, config = Splits(Texts((RHYME,), True), Texts((RHYME,), True)), cls.Config(**FAMILIES[family])
    whole = cls.fit(data, config, Run(steps=20, precision="fp32"))
    stop = lambda event: cancel.set() if event.kind == "val" and event.step >= 8 else None  # noqa: E731
    with pytest.raises(Cancelled):
        cls.fit(data, config, Run(steps=20, folder=tmp_path, cancel=cancel, callbacks=(stop,), precision="fp32"))
    resumed = cls.fit(data, config, Run(steps=20, folder=tmp_path, resume=True, precision="fp32"))
    for name, array in whole.state().items():
        assert np.array_equal(array, resumed.state()[name]), name


def test_a_long_text_is_encoded_piece_by_piece(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(text, "PIECE", 2**16)
    path = tmp_path / "long.txt"
    path.write_text(RHYME * 2000 + "\u4e16 \U0001f642\n", encoding="utf-8")
    texts = text.load_all(path)
    vocabulary = Characters.of(texts.pieces())
    tracemalloc.start()
    symbols, counts = stored(map(vocabulary.encode, texts.pieces()), len(vocabulary))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert symbols.dtype == np.uint8 and len(symbols) == texts.characters > 4 * 2**20 and peak < 3 * 2**20
    assert np.array_equal(symbols, vocabulary.encode(texts.text))
    assert np.array_equal(counts, np.bincount(symbols))


def test_the_score_of_a_text_does_not_depend_on_its_pieces(writer):
    pieces = Texts((RHYME[:100], RHYME[100:1500], RHYME[1500:]), True)
    assert writer.score(pieces) == writer.score(Texts((RHYME,), True))


@pytest.mark.parametrize("family", FAMILIES)
def test_too_little_text(family):
    with pytest.raises(DataError, match="no text to learn from"):
        fitted(family, Texts((" \n",), True))
    with pytest.raises(DataError, match="too little"):
        fitted(family, Texts(("a",), True))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_short_text_is_enough(family):
    assert np.isfinite(fitted(family, Texts(("to be or not",), True), steps=3).score(Texts(("to be",), True))["n"])


@pytest.mark.parametrize("writer", ["gpt"], indirect=True)
def test_transformers_loads_what_was_exported(writer, tmp_path: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    export(writer, tmp_path / "out")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    text = "the dog ran\nto"
    symbols = tokenizer(text, return_tensors="pt")["input_ids"]
    assert symbols[0].tolist() == writer.vocabulary.encode(text).tolist() and tokenizer.decode(symbols[0]) == text
    assert torch.allclose(theirs(symbols).logits, writer.net(symbols)[0], atol=1e-4)
    back = load_exported(tmp_path / "out")
    assert back.vocabulary.tokens == writer.vocabulary.tokens
    assert torch.equal(back.net(symbols)[0], writer.net(symbols)[0])
    assert made(back, "write_text", words=9) and back.save_pretrained(tmp_path / "again")


@pytest.mark.parametrize("writer", ["gpt"], indirect=True)
def test_an_exported_model_serves_an_lcel_chain(writer, tmp_path: Path):
    from langchain_core.prompts import PromptTemplate
    from langchain_huggingface import HuggingFacePipeline

    export(writer, tmp_path / "out")
    pipeline = HuggingFacePipeline.from_model_id(
        str(tmp_path / "out"), task="text-generation", pipeline_kwargs={"max_new_tokens": 8, "do_sample": False}
    )
    said = (PromptTemplate.from_template("the {animal} ") | pipeline).invoke({"animal": "cat"})
    assert said.startswith("the cat ") and len(said) == 16


def test_what_is_no_exported_gpt_is_a_clear_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no model that transformers can load"):
        load_exported(tmp_path)
