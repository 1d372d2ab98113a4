"""Byte-pair encoding: tokens that are the text again, language models of them that write, score, save and export."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import generators
from generators.core.arrays import packed
from generators.core.bpe import BPE
from generators.core.errors import CheckpointError
from generators.core.generator import Cancel, Partial, Request
from generators.core.kneser_ney import UNKNOWN
from generators.core.training import Run
from generators.core.vocabulary import Characters, Words
from generators.core.writing import Writer, finished
from generators.data.splits import Splits, Texts
from generators.nanochat import export, load_exported

SMALL = {"width": 16, "context": 16, "batch": 8, "tokens": 256}
FAMILIES = {"gpt": {"layers": 2, "heads": 2, **SMALL}, "lstm": {"layers": 1, **SMALL}}
RHYME = 'the cat sat on the mattress. "the dog ran to the cattle." a rat sat on the dog, caught.\n' * 30
RHYMES = Texts((RHYME,), True)
ODD = ["e\u0301", "\u00e9", "\U0001f469\u200d\U0001f467", "\u00a0", "\u2028", "\t", "  ", "\n\n", "<unk>", "<start>"]
ODD += ["\x1c", "\x85", "\u4e2d\u6587\uff0c", "\u0645\u0631", "\u00b2", "don't", " cat", "cat", "...", '."', "    if x"]


def odd_text(seed: int, length: int = 400) -> str:
    return "".join(random.Random(seed).choices(ODD, k=length))


def fitted(family: str, texts: Texts = RHYMES, steps: int = 150, **options):
    cls = generators.family(family)
    model = cls.fit(Splits(texts, texts), cls.Config(**{**FAMILIES[family], **options}), Run(steps=steps))
    model.info.name = f"{family}-test"
    return model


def made(model, seed: int = 1, **args) -> list:
    drawn = model.draw(Request("write_text", args), seed=seed, cancel=Cancel())
    return [item for item in drawn if not (isinstance(item, Partial) and item.text)]


@pytest.fixture(scope="module", params=FAMILIES)
def writer(request):
    return fitted(request.param)


@pytest.mark.parametrize("seed", range(8))
def test_tokens_put_together_are_the_text(seed):
    vocabulary = BPE.of(odd_text(seed), 400)
    assert max(map(len, vocabulary.tokens)) > 2
    for text in ("", odd_text(seed), odd_text(seed + 100)):
        symbols = vocabulary.encode(text)
        assert UNKNOWN not in symbols and vocabulary.decode(symbols) == text


@pytest.mark.parametrize("kind", [Characters, Words, BPE])
@pytest.mark.parametrize("size", [1, 7, 60, 10**6])
def test_pieces_have_the_tokens_of_the_whole(kind, size):
    for text in (odd_text(1), RHYME[:500], "a  b \n c\n\n  d. e"):
        vocabulary = kind.of(text, *[400] * (kind is BPE))
        pieces = list(vocabulary.pieces(text, size))
        assert "".join(pieces) == text and (size < len(text)) == (len(pieces) > 1)
        assert np.array_equal(np.concatenate([vocabulary.encode(piece) for piece in pieces]), vocabulary.encode(text))


def test_merges_are_applied_one_after_the_other():
    vocabulary = BPE.of(RHYME, 256)
    for word in (" cattle", "mattress", " caught"):
        parts = list(word)
        for pair in vocabulary.merges:
            at = 0
            while at < len(parts) - 1:
                if (parts[at], parts[at + 1]) == pair:
                    parts[at : at + 2] = ["".join(pair)]
                at += 1
        assert [vocabulary.tokens[symbol] for symbol in vocabulary.encode(word)] == parts


def test_the_commonest_pair_is_merged_first_and_none_that_occurs_once():
    vocabulary = BPE.of("ab ab ab cd cd\nxy", 256)
    assert vocabulary.merges[0] == ("a", "b") and "xy" not in vocabulary.tokens and " ab" in vocabulary.tokens
    assert BPE.of(RHYME, 256).merges == BPE.of(RHYME, 256).merges
    assert len(BPE.of(RHYME, 40)) == 40
    with pytest.raises(ValueError, match=r"tokens is 9, but the text has \d+ different characters; allow more"):
        BPE.of(RHYME, 9)


def test_every_unknown_character_is_one_unknown_symbol():
    vocabulary = BPE.of(RHYME, 256)
    symbols, unknown = vocabulary.understand("the \u00e6\u00e6 c\u00f8t\ud800")
    assert symbols.count(UNKNOWN) == 4 and unknown == ["\u00e6", "\u00f8", "\ud800"]
    assert vocabulary.decode(symbols) == "the  ct"


def test_it_is_the_same_after_a_checkpoint_and_damage_is_noticed():
    vocabulary = BPE.of(odd_text(3), 400)
    state = vocabulary.state()
    again = BPE.from_state(state)
    assert again.tokens == vocabulary.tokens and again.merges == vocabulary.merges
    for damage in (
        {"alphabet": packed(["a", "a"])},
        {"alphabet": packed(["ab"])},
        {"merges": packed(["never", "seen"])},
        {"merges": state["merges"][:-9]},
        {"merges": packed(["e"])},
    ):
        with pytest.raises(ValueError):
            BPE.from_state({**state, **damage})


def test_a_word_cut_short_is_finished_as_likely_as_it_is():
    class Fixed:
        p = np.asarray([0.1, 0.3, 0.2, 0.25, 0.1, 0.05])

        def context(self, symbols):
            return None

        def extend(self, context, symbol):
            return None

        def distribution(self, context, longest=None):
            return self.p.copy()

    tokens = ["", " c", "a", " cat", "at", "b"]
    writer = Writer(Fixed(), tokens, 1.0, np.random.default_rng(0), Cancel())
    drawn = ["|".join(tokens[i] for i in writer.completed([], [1, 2])) for _ in range(4000)]
    expected = {" cat": 0.25, " c|a": 0.3 * 0.2, " c|at": 0.3 * 0.1}
    assert set(drawn) == set(expected)
    for text, p in expected.items():
        assert drawn.count(text) / 4000 == pytest.approx(p / sum(expected.values()), abs=0.03)
    certain = Writer(Fixed(), tokens, 0.0, np.random.default_rng(0), Cancel())
    assert certain.completed([], [1, 2]) == [3]


def test_it_learns_in_fewer_symbols(writer):
    text = RHYME[:700]
    assert len(writer.vocabulary.encode(text)) < 350
    figures = writer.score(Texts((text,), True))
    assert figures["n"] == 700 and figures["nats_per_char"] < 0.6


def test_the_score_is_that_of_the_tokens_over_the_characters(writer):
    text = "the cat c\u00e6t"
    symbols, total = [UNKNOWN, *writer.vocabulary.encode(text).tolist()], 0.0
    for i in range(1, len(symbols)):
        p = writer.predictor.distribution(writer.predictor.context(symbols[:i]))
        total -= np.log(p[symbols[i]])
    assert writer.score(Texts((text,), True))["nats_per_char"] == pytest.approx(total / len(text), abs=1e-5)
    once = fitted("lstm", Texts((RHYME + "\u00e6",), True), steps=1)
    assert once.unknown == pytest.approx(1 / len(once.vocabulary.encode(RHYME + "\u00e6")))


def test_text_goes_on_within_the_prompts_last_word(writer):
    text = made(writer, prompt="the dog ran to the catt", words=8, temperature=0.0)[-1]
    assert text.startswith("the dog ran to the cattle")
    assert made(writer, words=12) == made(writer, words=12)
    notice, text = made(writer, prompt="the cat sat \u00e6", words=8)
    assert isinstance(notice, Partial) and "does not know the characters \u00e6" in notice.message
    assert text.startswith("the cat sat \u00e6") and 4 <= len(text.split()) <= 16


def test_a_text_has_its_words_and_the_wanted_one(writer):
    assert all(12 <= len(made(writer, seed=seed, words=20)[-1].split()) <= 30 for seed in range(4))
    for wanted in ("rat", "attle"):
        assert re.search(rf"\b{wanted}\b", made(writer, must_include=wanted, words=10)[-1])
    assert all(writer.sample(2)["texts"])


@pytest.mark.parametrize(
    ("parts", "text"),
    [(["One", " two", ".", ' "', "Three", " four"], "One two."), (["One", " two", '."', "\n", "Three"], 'One two."')],
)
def test_a_sentence_ends_with_the_quote_that_closes_it(parts, text):
    class Script:
        def context(self, symbols):
            return 0

        def extend(self, context, symbol):
            return context + 1

        def distribution(self, context, longest=None):
            return np.eye(len(tokens))[1 + context % len(parts)]

    tokens = ["", *parts]
    writer = Writer(Script(), tokens, 0.0, np.random.default_rng(0), Cancel())
    assert "".join(tokens[symbol] for symbol in finished(writer.onwards([], 2))) == text


def test_saved_and_loaded_it_is_the_same(writer, tmp_path: Path):
    again = type(writer).from_pretrained(writer.save_pretrained(tmp_path / "m"))
    assert made(again, words=9) == made(writer, words=9)
    assert again.score(Texts((RHYME[:100],), True)) == writer.score(Texts((RHYME[:100],), True))
    with pytest.raises(CheckpointError, match="do not fit its config"):
        type(writer).from_state(writer.info, {**writer.state(), "merges": packed(["never", "seen"])})
    with pytest.raises(CheckpointError, match="do not fit its config"):
        type(writer).from_state(writer.info, {**writer.state(), "merges": packed([])})


def test_what_cannot_be_learnt_in_tokens_is_a_clear_error():
    with pytest.raises(ValueError, match="tokens is 100; it must be from 256 to 32000, or 0"):
        fitted("gpt", tokens=100)
    with pytest.raises(ValueError, match="a list is learnt by its characters; leave tokens at 0"):
        fitted("lstm", Texts(("Anna", "Nina")))


@pytest.mark.parametrize("writer", ["gpt"], indirect=True)
def test_transformers_loads_what_was_exported(writer, tmp_path: Path):
    from langchain_huggingface import HuggingFacePipeline
    from transformers import AutoModelForCausalLM, AutoTokenizer

    export(writer, tmp_path / "out")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    for text in ('the dog ran\n\n  to "the cattle."', RHYME[:50]):
        symbols = tokenizer(text, return_tensors="pt")["input_ids"][:, :16]
        assert symbols[0].tolist() == writer.vocabulary.encode(text)[:16].tolist()
        assert text.startswith(tokenizer.decode(symbols[0]))
        assert torch.allclose(theirs(symbols).logits, writer.net(symbols)[0], atol=1e-4)
    assert tokenizer.convert_tokens_to_ids(["<unk>", "<start>"]) == [0, len(writer.vocabulary)]
    back = load_exported(tmp_path / "out")
    assert back.vocabulary.tokens == writer.vocabulary.tokens and back.vocabulary.merges == writer.vocabulary.merges
    assert torch.equal(back.net(symbols)[0], writer.net(symbols)[0])
    again = type(back).from_pretrained(back.save_pretrained(tmp_path / "again"))
    assert made(again, words=9) == made(back, words=9)
    pipeline = HuggingFacePipeline.from_model_id(
        str(tmp_path / "out"), task="text-generation", pipeline_kwargs={"max_new_tokens": 4, "do_sample": False}
    )
    said = pipeline.invoke("the dog ran")
    assert said.startswith("the dog ran ") and len(said) > len("the dog ran ") + 4
    parts = [writer.vocabulary.encode(part).tolist() for part in ("<", "unk", ">")]
    assert writer.vocabulary.encode("<unk>").tolist() == [symbol for part in parts for symbol in part]
    assert export(again, tmp_path / "third")


@pytest.mark.parametrize("writer", ["gpt"], indirect=True)
def test_a_tokenizer_of_another_kind_is_a_clear_error(writer, tmp_path: Path):
    file = export(writer, tmp_path / "out") / "tokenizer.json"
    file.write_text(file.read_text().replace("Isolated", "Removed"))
    with pytest.raises(CheckpointError, match="not of characters or byte pairs"):
        load_exported(tmp_path / "out")
