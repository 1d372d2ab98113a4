"""Text with given words: the chain's moves leave their target as it is, and every family writes what is asked for."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import asdict

import numpy as np
import pytest
import torch

import generators
from generators.core import word_moves
from generators.core.errors import Cancelled, RequestError
from generators.core.generator import Cancel, Partial, Request, rng
from generators.core.keywords import Keyword, asked_for
from generators.core.text_law import LOOSE, TextLaw, flat
from generators.core.training import Run
from generators.core.vocabulary import Words
from generators.core.word_moves import WordChain, sample_with
from generators.core.writing import MIN_P, InTurn, Parallel, pick
from generators.data.splits import Splits, Texts
from generators.markov import Config, Markov

RHYME = "the cat sat on the mat. the dog ran to the cat, and a rat sat on the dog.\nA rat and the fat hen ran.\n" * 30
NETS = {
    "gpt": {"layers": 1, "width": 16, "heads": 2, "context": 16, "batch": 8},
    "lstm": {"layers": 2, "width": 16, "context": 16, "batch": 8},
    "gru": {"layers": 1, "width": 16, "context": 16, "batch": 8},
    "mixture": {"layers": 1, "width": 16, "heads": 2, "context": 17, "batch": 8, "order": 3},
}


class Tiny:
    """Four symbols, each next one by the two before it; `bounded` tells that no more is looked back at."""

    def __init__(self, bounded: bool) -> None:
        self.table = np.random.default_rng(5).dirichlet(np.full(4, 1.5), (4, 4)) * 0.8 + 0.05
        self.lookbacks = (2,) if bounded else (None,)

    def context(self, symbols):
        return tuple([0, 0, *symbols][-2:])

    def extend(self, context, symbol):
        return (context[1], symbol)

    def distribution(self, context, longest=None):
        return self.table[context].copy()


def tiny_chain(bounded: bool, temperature: float, units, keyword: bool = True) -> WordChain:
    vocabulary = Words(["", " a", " k", "."])
    law = TextLaw(Tiny(bounded), vocabulary, [3], temperature)
    chain = WordChain(law, flat(units), [Keyword("k", (2,))] if keyword else [], 2, rng(0))
    chain.least, chain.most, chain.ended = 1, 3, True
    return chain


def every_text(keyword: bool = True) -> list[tuple[tuple[int, ...], ...]]:
    """All texts of one to three words of at most two symbols that end with a sentence and have the keyword."""
    later = [(w, *rest) for w in (1, 2) for rest in ((), (3,))]
    first = [*later, (3,), (3, 3)]
    texts = [(one, *rest) for one in first for n in range(3) for rest in itertools.product(later, repeat=n)]
    return [text for text in texts if text[-1][-1] == 3 and (not keyword or 2 in flat(text))]


@pytest.mark.parametrize(("bounded", "temperature"), [(True, 1.0), (False, 1.3)])
def test_moves_are_reversible_under_the_stated_target(bounded, temperature, monkeypatch):
    """From texts drawn from the target x -> y comes as often as y -> x: pi(x) P(x, y) = pi(y) P(y, x)."""
    monkeypatch.setattr(word_moves, "LONGEST", 2)
    monkeypatch.setattr(word_moves, "TRIES", 2)
    monkeypatch.setattr(word_moves, "HEAD", 0)
    monkeypatch.setattr(word_moves, "AROUND", 1)
    monkeypatch.setattr(word_moves, "MOVED", 0.3)
    texts, many = every_text(), 6000
    chain = tiny_chain(bounded, temperature, texts[0])
    logs = [chain.law.read(chain.law.start, [flat(text)])[0] for text in texts]
    pi = np.exp([log[0].sum() for log in logs])
    pi /= pi.sum()
    number, random = {text: i for i, text in enumerate(texts)}, rng(1)
    passed = np.zeros((len(texts), len(texts)))
    for x in random.choice(len(texts), many, p=pi).tolist():
        chain.units, chain.logs, chain.contexts = list(texts[x]), logs[x], {0: chain.law.start}
        chain.move()
        y = number[tuple(chain.units)]
        assert chain.logs == pytest.approx(logs[y], abs=1e-9)
        passed[x, y] += 1
    assert passed.sum() - passed.trace() > 300
    there, back = (each[np.triu_indices(len(texts), 1)] for each in (passed, passed.T))
    both = there + back
    excess = ((there - back) ** 2 - both).sum() / np.sqrt(2 * (both * (both - 1)).sum())  # about N(0, 1)
    assert excess < 4
    expected = many * pi
    stays = ((passed.sum(0) - expected) ** 2 / expected)[expected >= 5]
    assert stays.sum() < len(stays) + 4 * np.sqrt(2 * len(stays))


def test_a_chain_visits_texts_as_often_as_its_target_says(monkeypatch):
    monkeypatch.setattr(word_moves, "LONGEST", 2)
    monkeypatch.setattr(word_moves, "TRIES", 2)
    texts = every_text(keyword=False)
    chain = tiny_chain(True, 1.0, texts[0], keyword=False)
    pi = np.exp([chain.law.read(chain.law.start, [flat(text)])[0][0].sum() for text in texts])
    seen = dict.fromkeys(texts, 0)
    for _ in range(5000):
        chain.move()
        seen[tuple(chain.units)] += 1
    assert 0.5 * np.abs(np.asarray([*seen.values()]) / 5000 - pi / pi.sum()).sum() < 0.1


def test_tries_are_drawn_as_their_weights_take_for_granted(monkeypatch):
    """A try's weight is f(words, head) / q(words): its mean over draws is the sum of f over all words there may be."""
    monkeypatch.setattr(word_moves, "LONGEST", 2)
    chain = tiny_chain(True, 1.4, ((1,), (2,), (1,), (2, 3)))
    head = list(chain.units[3])
    there = [(first, *rest) for first in (1, 2) for rest in ((), (3,))]
    total = sum(np.exp(chain.law.read(chain._context(1), [[*one, *head]])[0][0].sum()) for one in there)
    monkeypatch.setattr(word_moves, "LENGTHS", (0.0, 1.0))
    monkeypatch.setattr(word_moves, "TRIES", 4000)
    drawn = chain._drawn(1)
    assert {words[0] for words in drawn} == set(there)
    weights = [each.log_weight for each in chain._weighed(1, drawn, head, True)]
    assert np.exp(weights).sum() / 4000 == pytest.approx(total, rel=0.05)


@pytest.mark.parametrize("many", [0, 1, 2])
def test_places_are_chosen_as_often_as_is_taken_for_granted(many):
    chain = tiny_chain(True, 1.0, ((1,), (2,), (1,), (1,), (2, 3), (1,), (1, 3)))
    chosen = [chain._place(many) for _ in range(8000)]
    for at in range(len(chain.units) - many + 1):
        assert chosen.count(at) / 8000 == pytest.approx(chain._chance(at, chain.units, many), abs=0.02)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 1.4])
def test_the_law_is_what_free_text_is_drawn_from(temperature):
    p = np.random.default_rng(0).dirichlet(np.full(9, 0.5), 2)
    f = TextLaw(Tiny(True), Words(["", " a", " k", "."]), [], temperature).of(p)
    assert f.sum(1) == pytest.approx(1) and (f[:, 0] == 0).all() and (f[:, 1:] > 0).all()
    drawn = np.bincount([pick(p[0].copy(), temperature, rng(0, i)) for i in range(3000)], minlength=9) / 3000
    assert f[0] == pytest.approx(drawn, abs=0.04)
    if 0 < temperature < 1:
        cut = p[0, 1:] < MIN_P * p[0, 1:].max()
        assert (f[0, 1:][cut] <= LOOSE).all()


def fitted(family: str, steps: int = 15):
    cls, texts = generators.family(family), Texts((RHYME,), True)
    model = cls.fit(Splits(texts, texts), cls.Config(**NETS[family]), Run(steps=steps, precision="fp32"))
    model.info.name = f"{family}-test"
    return model


@pytest.fixture(scope="module")
def verse() -> Markov:
    texts = Texts((RHYME,), True)
    return Markov.fit(Splits(texts, texts), Config(level="word", order=3), Run())


@pytest.mark.parametrize("family", NETS)
def test_many_at_once_are_what_each_is_alone(family):
    model = fitted(family, steps=5)
    predictor, size, random = model.predictor, len(model.vocabulary), rng(1)
    assert isinstance(predictor, Parallel)
    alone = InTurn(predictor)
    for before, more in ((0, 1), (1, 18), (15, 0), (16, 40), (30, 18)):
        context = predictor.context(random.integers(1, size, before).tolist())
        rows = [random.integers(1, size, length).tolist() for length in (more, 0, more + 5)]
        for ours, theirs in zip(predictor.foreseen(context, rows), alone.foreseen(context, rows), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
        ends = [each.advanced(context, rows[2]) for each in (predictor, alone)]
        ends = [predictor.distribution(predictor.extend(end, 2)) for end in ends]
        np.testing.assert_allclose(*ends, atol=1e-4)
        contexts, each = predictor.forked(context, 3), alone.forked(context, 3)
        for step in range(more):
            kept = np.arange(3) if step != 2 else np.asarray([0, 2])
            kept = kept if step < 3 else np.arange(2)
            symbols = random.integers(1, size, len(kept))
            contexts, each = predictor.stepped(contexts, kept, symbols), alone.stepped(each, kept, symbols)
        np.testing.assert_allclose(predictor.each_distribution(contexts), alone.each_distribution(each), atol=1e-4)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("river", ["river"]),
        (" river, Lamp; stone ", ["river", "Lamp", "stone"]),
        ("river and lamp", ["river", "lamp"]),
        ("river and lamp, and", ["river", "lamp", "and"]),
        ("river lamp", ["river", "lamp"]),
        ("river, river", ["river"]),
        ('"house of David", lamp', ["house of David", "lamp"]),
        ("\u201cold  house\u201d and 'the lamp'.", ["old house", "the lamp"]),
        ("the Lord's lamp", ["the", "Lord's", "lamp"]),
        ("old house; king's old house", ["old house", "king's", "old", "house"]),
    ],
)
def test_a_request_names_words_and_phrases(request_, words):
    assert asked_for(request_, lambda phrase: phrase == ["old", "house"]) == words


def test_a_request_for_nothing_or_for_too_much_is_refused():
    for request, problem in (("...", "names no word"), ("a b c d e f", "names 6 words; give at most 5")):
        with pytest.raises(RequestError, match=problem):
            asked_for(request, lambda phrase: False)


def test_a_phrase_that_the_model_expects_stays_together(verse):
    texts = Texts((RHYME + " ".join(f"word{i}" for i in range(2000)),), True)
    spelling = Markov.fit(Splits(texts, texts), Config(level="word", order=3), Run())._spelling()
    assert spelling.expects(["the", "FAT", "hen"]) and not spelling.expects(["hen", "mat"])
    assert verse.vocabulary.decode(verse.keywords(["the FAT hen"])[0].symbols) == " the fat hen"
    with pytest.raises(RequestError, match="'quiz' is not one of the words"):
        verse.keywords(["the quiz"])


def test_a_keyword_is_found_as_whole_words_only(verse):
    units = TextLaw(verse.predictor, verse.vocabulary, [], 1.0).split(verse.vocabulary.encode("A cat, the cats: CAT."))
    assert [verse.vocabulary.decode(unit) for unit in units] != []
    assert Keyword("cat", ()).is_in("The CAT.") and not Keyword("cat", ()).is_in("cats, a tomcat")
    letters = generators.family("markov").fit(
        Splits(Texts((RHYME,), True), Texts((RHYME,), True)), Config(order=3), Run()
    )
    law = TextLaw(letters.predictor, letters.vocabulary, [], 1.0)
    units = law.split(letters.vocabulary.encode("the cat sat,\nthe cats sat the cat."))
    assert Keyword("the cat", ()).spots(units, letters.vocabulary) == [(0, 2), (6, 8)]


@pytest.mark.parametrize("level", ["word", "character", "byte", "token"])
def test_ngrams_write_what_they_are_asked_for(level):
    texts = Texts((RHYME,), True)
    model = Markov.fit(Splits(texts, texts), Config(level=level, tokens=256), Run())
    check_texts(model, [["hen"], ["mat", "rat"], ["dog", "fat hen", "mat"]])


@pytest.mark.parametrize("family", NETS)
def test_networks_write_what_they_are_asked_for(family):
    with torch.random.fork_rng(devices=[]):
        check_texts(fitted(family), [["hen"], ["mat", "rat"]], sentences=False)


def check_texts(model, requests: list[list[str]], sentences: bool = True) -> None:
    for seed, words in enumerate(requests):
        text, trace = sample_with(model, words, length=12, seed=seed, moves=12)
        assert all(re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in words), (words, text)
        assert 7 <= len(text.split()) <= 16 and text == text.strip()
        assert not sentences or text[-1] in ".!?", text
        assert trace.keywords == tuple(words) and len(trace.kinds) == len(trace.accepted) == 12
        assert len(trace.log_density) == len(trace.nats) == 13
        assert json.loads(json.dumps(asdict(trace)))["log_density"] == list(trace.log_density)
        assert set(trace.acceptance) <= {"none", "replace", "insert", "delete", "move"}
        assert (text, trace) == sample_with(model, words, length=12, seed=seed, moves=12)


def test_the_trace_tells_the_texts_own_density(verse):
    text, trace = sample_with(verse, ["hen", "mat"], length=12, seed=4, moves=60)
    law = TextLaw(verse.predictor, verse.vocabulary, verse.lead(), 0.8)
    (logs,) = law.read(law.start, [verse.vocabulary.encode(text).tolist()])
    assert trace.log_density[-1] == pytest.approx(logs[0].sum()) and trace.nats[-1] == pytest.approx(logs[1].sum())
    changed = np.diff(trace.log_density) != 0
    assert changed.any() and (changed <= np.asarray(trace.accepted)).all()


def test_moves_make_an_odd_text_likelier(verse):
    law = TextLaw(verse.predictor, verse.vocabulary, verse.lead(), 0.8)
    odd = verse.vocabulary.encode("the cat hen sat on mat the dog. the dog ran to the on.").tolist()
    chain = WordChain(law, odd, verse.keywords(["hen", "mat"]), 12, rng(0))
    begun = chain.log_density
    density = [chain.move() and chain.log_density for _ in range(200)]
    assert np.mean(density[100:]) > begun + 5
    assert all(keyword.is_in(chain.text()) for keyword in chain.keywords) and chain.text().endswith(".")


def written(model, cancel: Cancel | None = None, **args) -> list:
    return list(model.draw(Request("write_text", args), seed=1, cancel=cancel or Cancel()))


def test_a_tool_request_may_name_several_words(verse):
    *parts, text = written(verse, must_include="HEN, mat and rat", prompt="the dog", words=14)
    assert all(re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in ("hen", "mat", "rat"))
    assert text.startswith("the dog") and "  " not in text
    assert all(isinstance(part, Partial) and part.text.startswith("the dog") for part in parts)


def test_words_of_the_prompt_need_not_come_again(verse):
    free = written(verse, prompt="the fat hen", words=9)[-1]
    assert written(verse, prompt="the fat hen", must_include="Hen", words=9)[-1] == free


def test_a_word_that_the_model_cannot_write_is_named(verse):
    with pytest.raises(RequestError, match="'quiz' is not one of the words"):
        written(verse, must_include="hen, quiz")


def test_it_stops_between_moves(verse):
    cancel, model = Cancel(), verse
    steps = model.draw(Request("write_text", {"must_include": "hen", "words": 5}), seed=1, cancel=cancel)
    last = [next(steps) for _ in range(12)][-1]
    assert isinstance(last, Partial)
    cancel.set()
    with pytest.raises(Cancelled):
        list(steps)
