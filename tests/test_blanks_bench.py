"""The n-gram peers of the masked language model: their posterior is the plain one, and all guess the same words."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "bench"))

import blank_peers
import blanks

from generators.bert import BERT, VALIDATION, Config
from generators.core.kneser_ney import UNKNOWN, KneserNey
from generators.core.training import Run
from generators.data.splits import Splits, Texts

SIZE = 7


@pytest.fixture(params=[1, 2, 3, 4])
def ngrams(request) -> KneserNey:
    return blank_peers.fitted(np.random.default_rng(0).integers(1, SIZE - 1, 60), SIZE, request.param)


@pytest.fixture
def line() -> np.ndarray:
    """Words known and unknown, in contexts seen and unseen; the last symbol never occurred."""
    return np.random.default_rng(1).integers(0, SIZE, 40)


def plain(ngrams: KneserNey, line: np.ndarray, place: int, seen: slice) -> np.ndarray:
    """What `log_posterior` is, from the probabilities of the whole line with each word in turn in the blank."""
    lines = np.tile(line, (SIZE, 1))
    lines[:, place] = np.arange(SIZE)
    joint = np.asarray([ngrams.log_probs(filled)[seen].sum() for filled in lines])
    joint[UNKNOWN] = -np.inf
    return joint - np.logaddexp.reduce(joint)


def test_the_posterior_is_that_of_whole_lines(ngrams, line):
    for place in range(len(line)):
        found = blank_peers.log_posterior(ngrams, line, place, ngrams.order - 1)
        np.testing.assert_allclose(found, plain(ngrams, line, place, slice(None)), atol=1e-10)
        assert np.exp(found).sum() == pytest.approx(1) and found[UNKNOWN] == -np.inf
        left = blank_peers.log_posterior(ngrams, line, place, 0)
        np.testing.assert_allclose(left, plain(ngrams, line, place, slice(place, place + 1)), atol=1e-10)


def test_words_further_right_say_nothing(ngrams, line):
    for place in (0, 5, len(line) - 1):
        both = [blank_peers.log_posterior(ngrams, line, place, ngrams.order + more) for more in (-1, 2)]
        np.testing.assert_allclose(*both, atol=1e-10)


def test_the_score_counts_unknown_words_as_missed(ngrams, line):
    places = range(3, 30)
    figures = blank_peers.score(ngrams, line, places, ngrams.order - 1)
    nats, first, five = [], 0, 0
    for place in places:
        guesses = blank_peers.log_posterior(ngrams, line, place, ngrams.order - 1)
        known, order = line[place] != UNKNOWN, np.argsort(-guesses)
        nats.append(-guesses[line[place]] if known else np.log(SIZE))
        first += known and guesses[order[0]] == guesses[line[place]]
        five += known and guesses[order[4]] <= guesses[line[place]]
    assert figures["masked_nats_per_word"] == pytest.approx(np.mean(nats))
    assert [figures["top_1"], figures["top_5"], figures["n"]] == pytest.approx([first / 27, five / 27, 27])


def test_all_guess_the_same_words_behind_those_that_chose():
    rhyme = "The cat sat on the mat. The dog ran to the cat. A rat sat on the old brown dog.\n"
    text = rhyme * (VALIDATION // 20)
    splits = Splits(Texts((rhyme * 40,), True), Texts((text + " xyzzy" * 10,), True))
    model = BERT.fit(splits, Config(layers=1, width=8, heads=1, context=16, batch=2), Run(steps=1, precision="fp32"))
    rows, words = blanks.compared(model, splits, 20)
    hidden = model.vocabulary.encode(text)[VALIDATION : VALIDATION + 32]
    assert rows["BERT, both sides"] == model.masked(hidden) and {row["n"] for row in rows.values()} == {32}
    assert words == f"words {VALIDATION} to {VALIDATION + 31} of the held-out text, 0 of them unknown"
    both, left = (rows[f"n-grams, order 3, {side}"] for side in ("both sides", "left side"))
    assert both["masked_nats_per_word"] < left["masked_nats_per_word"] and both["top_1"] > 0.9
    assert not blanks.better(rows)
    with pytest.raises(ValueError, match="so ask for no more"):
        blanks.compared(model, splits, 10_000)


@pytest.mark.parametrize(("nats", "five", "met"), [(1.0, 0.9, True), (1.6, 0.9, False), (1.0, 0.6, False)])
def test_better_is_so_in_nats_and_among_five_guesses(nats, five, met):
    peers = [{"masked_nats_per_word": 1.5, "top_5": 0.5}, {"masked_nats_per_word": 2.0, "top_5": 0.7}]
    rows = [{"masked_nats_per_word": nats, "top_5": five}, *peers]
    assert blanks.better(dict(zip("abc", rows, strict=True))) is met


def test_a_model_that_is_not_here_is_no_failure(home, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["blanks.py", "bert-nowhere"])
    assert blanks.main() == 0
    assert "bert-nowhere is not here; --family bert trains" in capsys.readouterr().err
