"""Counting n-grams: piece by piece as at once, in one packed column or several, thinned, taken up again."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from generators.core import vocabulary
from generators.core.batch_sampling import BatchSampler
from generators.core.counting import GramTable
from generators.core.hashing import stretch_sums
from generators.core.interpolation import Interpolated
from generators.core.kneser_ney import KneserNey
from generators.core.reading import grouped, read_words, word_hashes
from generators.core.vocabulary import WORD, Bytes, Characters, Words


def geometric(n: int, size: int, seed: int = 0, p: float = 0.3) -> np.ndarray:
    return np.append(size, np.random.default_rng(seed).geometric(p, n).clip(1, size - 1))


def plain_counts(sequence, size, order):
    found = Counter()
    for n in range(1, order + 1):
        for at in range(len(sequence) - n + 1):
            gram = tuple(sequence[at : at + n].tolist())
            if all(symbol < size for symbol in gram[1:]):
                found[gram] += 1
    return found


def table_counts(table):
    found, paths = {}, [()]
    for grams in table.grams():
        paths = [(*paths[parent], symbol) for parent, symbol in zip(grams.parents, grams.symbols.tolist(), strict=True)]
        found |= dict(zip(paths, grams.counts.tolist(), strict=True))
    return found


@pytest.mark.parametrize("order", [1, 2, 4, 9])
@pytest.mark.parametrize("size", [6, 70_000])  # the second takes several columns
def test_counts_are_those_of_a_dictionary(size, order):
    sequence = geometric(300, 6)
    sequence[sequence == 6] = size
    sequence[[40, 41, 200]] = size
    table = GramTable(size, 1, order)
    assert (len(table.columns) > 1) == (size == 70_000 and order > 3)
    table.add([sequence[:50], sequence[50:51], sequence[51:51], sequence[51:]])
    table.end()
    assert table_counts(table) == plain_counts(sequence, size, order)


@pytest.mark.parametrize("size", [6, 70_000])
def test_what_stands_before(size):
    sequence = geometric(300, 6)
    sequence[0] = size
    table = GramTable.of(sequence, size, 1, 4)
    plain = plain_counts(sequence, size, 4)
    levels = table.grams()
    assert not levels[-1].before.any()
    paths = [()]
    for grams, longer in pairwise(levels):
        paths = [(*paths[parent], symbol) for parent, symbol in zip(grams.parents, grams.symbols.tolist(), strict=True)]
        expected = [len({gram[0] for gram in plain if gram[1:] == path}) for path in paths]
        assert grams.before.tolist() == expected and len(longer.counts)


def test_a_thinned_table_keeps_what_is_short_and_what_is_common():
    sequence = geometric(5000, 20, p=0.6)
    whole = GramTable.of(sequence, 20, 1, 6)
    table = GramTable(20, 1, 6, most=400)
    table.add(np.array_split(sequence, 10))
    table.end()
    assert table.thinned and len(table) <= 400 < len(whole)
    counted, plain = table_counts(table), table_counts(whole)
    assert {gram: n for gram, n in counted.items() if len(gram) < 3} == {g: n for g, n in plain.items() if len(g) < 3}
    assert all(n <= plain[gram] for gram, n in counted.items())
    common = max((gram for gram in plain if len(gram) == 6), key=plain.__getitem__)
    assert counted[common] > 0.5 * plain[common]
    model = KneserNey.counted(table)
    for context in ([], [20], [1, 1, 1, 1, 1], [3, 2, 7]):
        p = model.distribution(model.context(context))
        assert p.sum() == pytest.approx(1) and (p > 0).all()


@pytest.mark.parametrize("unpack", [False, True])
def test_counting_goes_on_from_a_model(unpack):
    size = 70_000 if unpack else 9
    first, second = geometric(300, 6, 1), geometric(400, 9, 2)
    first[0], second[0] = 6, size
    model = KneserNey.fit(first, size=6, starts=1, order=4)
    places = np.append(0, np.arange(1, 6) + 2)  # its five symbols are 3 to 7 there
    moved = np.append(size, places[first[1:]])
    table = model.table(places, size)
    table.add([second])
    table.end()
    going_on = KneserNey.counted(table)
    at_once = KneserNey.fit(np.concatenate([moved, second]), size=size, starts=1, order=4)
    test = np.append(size, np.random.default_rng(3).integers(0, 9, 200))
    np.testing.assert_allclose(going_on.log_probs(test), at_once.log_probs(test), atol=1e-12)
    pruned = KneserNey.fit(first, size=6, starts=1, order=4, max_nodes=40)
    with pytest.raises(ValueError, match="pruned"):
        pruned.table(places, size)


def test_counting_goes_on_from_a_thinned_model():
    sequence = geometric(5000, 20, p=0.6)
    table = GramTable(20, 1, 6, most=400)
    table.add([sequence])
    table.end()
    model = KneserNey.from_state(KneserNey.counted(table).state())
    again = KneserNey.counted(model.table(np.arange(20), 20))
    np.testing.assert_allclose(again.log_probs(sequence), model.log_probs(sequence), atol=1e-12)


def test_pairs_are_thinned_too_and_single_symbols_are_not():
    sequence = np.append(3000, np.random.default_rng(0).integers(1, 3000, 20_000))
    pairs = GramTable(3000, 1, 2, most=5000)
    pairs.add(np.array_split(sequence, 5))
    assert pairs.thinned and len(pairs) <= 5000
    single = GramTable(3000, 1, 1, most=100)
    single.add([sequence])
    assert not single.thinned and len(single) > 100


def test_interpolated_models():
    parts = [KneserNey.fit(geometric(300, 6, seed), size=6, starts=1, order=order) for seed, order in ((1, 4), (2, 3))]
    places = [np.asarray([0, 1, 2, 3, 4, 5]), np.asarray([0, 2, 3, 5, 6, 7])]
    weights = np.asarray([0.3, 0.7])
    model = Interpolated(parts, places, weights, 8)
    test = np.append(8, np.random.default_rng(0).integers(0, 8, 100))
    logs = model.log_probs(test)
    for i in range(1, len(test)):
        context = model.context(test[max(0, i - 3) : i].tolist())
        p = model.distribution(context)
        assert p.sum() == pytest.approx(1) and (p > 0).all()
        assert np.log(p[test[i]]) == pytest.approx(logs[i])
        each = [part.distribution(one)[test[i]] for part, one in zip(model.wide, context, strict=True)]
        assert p[test[i]] == pytest.approx(weights @ each)
    assert model.order == 4 and model.nodes == sum(part.nodes for part in parts)
    np.testing.assert_allclose(model.shares(test)[:, 1:].sum(0), 1)
    here = model.distribution(model.context(test[2:5].tolist()))
    np.testing.assert_allclose(model.distributions(test)[5], here, 1e-6)
    again = Interpolated.from_state(model.state())
    np.testing.assert_array_equal(again.log_probs(test), logs)
    np.testing.assert_array_equal(model.followers(8), np.logical_or(*(part.followers(8) for part in model.wide)))


@pytest.mark.parametrize("parts", [1, 2])
def test_a_batch_is_drawn_from_the_distributions(parts):
    models = [KneserNey.fit(geometric(400, 6, seed), size=6, starts=1, order=3) for seed in range(parts)]
    counts = models[0]
    if parts == 2:
        counts = Interpolated(models, [np.arange(6)] * 2, np.asarray([0.25, 0.75]), 6)
    n = 20_000
    random = [np.random.default_rng([7, i]) for i in range(n)]
    drawn = BatchSampler(counts).draw([[2, 1]] * n, random, lambda made: np.ones(len(made), bool), block=2)
    found = np.zeros((6, 6))
    np.add.at(found, tuple(np.stack(drawn).T), 1)
    p = counts.distribution(counts.context([2, 1]))
    p[0] = 0
    expected = np.zeros((6, 6))
    for symbol in range(1, 6):
        q = counts.distribution(counts.context([2, 1, symbol]))
        q[0] = 0
        expected[symbol] = p[symbol] / p.sum() * q / q.sum()
    assert np.abs(found / n - expected).max() < 4 * np.sqrt(expected.max() / n)
    again = BatchSampler(counts).draw(
        [[2, 1]] * 3, [np.random.default_rng([7, i]) for i in range(3)], lambda made: np.ones(len(made), bool), block=2
    )
    assert [row.tolist() for row in again] == [row.tolist() for row in drawn[:3]]


def test_words_are_found_as_by_the_expression():
    random = np.random.default_rng(0)
    letters = list("ab '\u2019--  \n\t.,\u00e9\u4e16_9\u00a0\u2028\x1c\U0001f642")
    for length in range(400):
        text = "".join(random.choice(letters, length % 14))
        starts, _ = word_hashes(text)
        ends = [*starts[1:], len(text)][: len(starts)]
        assert [text[start:end] for start, end in zip(starts, ends, strict=True)] == WORD.findall(text)


def test_words_are_read_once():
    text = "the cat sat on the mat.\nThe cat didn't.\n" * 3
    words, symbols, counts = read_words([text[:17], text[17:]])
    assert words.tokens == Words.of([text]).tokens
    np.testing.assert_array_equal(symbols, words.encode(text))
    np.testing.assert_array_equal(counts, np.bincount(symbols))
    few, symbols, _ = read_words([text], most=3)
    assert len(few) == 4 and (symbols == few.encode(text)).all() and " cat" in few.tokens


def test_a_text_without_a_place_to_cut_it_is_cut_all_the_same(monkeypatch):
    monkeypatch.setattr(vocabulary, "LONGEST", 50)
    for kind in (Words, Characters, Bytes):
        pieces = list(kind.pieces(["ACGT" * 5] * 30, 40))
        assert "".join(pieces) == "ACGT" * 150 and max(map(len, pieces)) <= 110
    text = "It is a line.\nAnd so is this\n" * 9
    assert "".join(Words.pieces([text[:7], text[7:100], text[100:]], 20)) == text


def test_long_words_are_told_apart():
    one, other = "a", "b"
    for _ in range(10):  # two words (Thue 1906) that every polynomial modulo a power of two takes for the same
        one, other = one + other, other + one
    words, symbols, _ = read_words([f"{one} {other} {one}"])
    np.testing.assert_array_equal(symbols, words.encode(f"{one} {other} {one}"))


def test_hashes_with_the_same_slot_are_told_apart():
    hashes = np.asarray([5, 1 << 60, 6, 5, 7, 6, 1 << 60], np.uint64)
    first, group = grouped(hashes)
    np.testing.assert_array_equal(hashes[first][group], hashes)
    assert len(first) == 4


def test_a_stretch_has_the_same_sum_wherever_it_stands():
    sequence = np.asarray([1, 2, 3, 9, 1, 2, 3, 0, 2, 1, 3])
    starts = np.arange(len(sequence) - 2)
    sums = stretch_sums(sequence.astype(np.uint64), starts, starts + 3)
    assert sums[0] == sums[4] and len(set(sums.tolist())) == len(sums) - 1
