"""Kneser-Ney against closed forms and a plain count; what a Markov model writes and invents."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest

from generators.core.discounts import lookups, loss_and_slopes
from generators.core.errors import Cancelled, CheckpointError, RequestError
from generators.core.generator import Cancel, Partial, Request
from generators.core.kneser_ney import KneserNey, discounts_of
from generators.core.training import Run
from generators.data.splits import DataError, Source, Splits, Texts
from generators.data.text import load
from generators.markov import Config, Markov

VERSE = (
    "In the beginning God created the heaven and the earth. And the earth was without form, and void; and darkness "
    "was upon the face of the deep. And the Spirit of God moved upon the face of the waters.\n"
    "And God said, Let there be light: and there was light. And God saw the light, that it was good.\n"
)
TOWNS = [a + b for a in ("Wolfs", "Frei", "Ham", "Rosen", "Ober", "Linden") for b in ("burg", "heim", "bach", "dorf")]


def running(text: str) -> Splits[Texts]:
    cut = int(len(text) * 0.9)
    return Splits(Texts((text[:cut],), True), Texts((text[cut:],), True), source=Source("verse"))


def listed(items: list[str], labels: tuple[int, ...] = (), names: tuple[str, ...] = ()) -> Splits[Texts]:
    return Splits(Texts(tuple(items), labels=labels, names=names), Texts(("Hambach",)), source=Source("towns"))


def contents(model, task, seed=1, **args):
    return next(a.content for a in model.generate(Request(task, args), seed=seed) if not isinstance(a, Partial))


def notices(model, task, **args):
    return [a.message for a in model.generate(Request(task, args), seed=1) if isinstance(a, Partial)]


@pytest.fixture(scope="module")
def verse():
    return Markov.fit(running(VERSE * 6), Config(), Run())


@pytest.fixture(scope="module")
def towns():
    return Markov.fit(listed(TOWNS), Config(order=3), Run())


class PlainKneserNey:
    """Chen & Goodman's recursion as it stands in the paper, over dictionaries; slow and obvious."""

    def __init__(self, sequence, size, order):
        self.size, self.order = size, order
        raw = [Counter() for _ in range(order + 1)]
        for n in range(1, order + 1):
            for i in range(len(sequence) - n + 1):
                gram = tuple(sequence[i : i + n])
                if all(symbol < size for symbol in gram[1:]):
                    raw[n][gram] += 1
        self.counts = [Counter() for _ in range(order + 1)]
        for n in range(1, order + 1):
            for gram, count in raw[n].items():
                before = len({longer[0] for longer in raw[n + 1] if longer[1:] == gram}) if n < order else 0
                self.counts[n][gram] = count if n == order or gram[0] >= size else before
            for gram in [gram for gram in self.counts[n] if gram[-1] >= size]:
                del self.counts[n][gram]
        self.discounts = [None, *(discounts_of(np.array(list(self.counts[n].values()))) for n in range(1, order + 1))]
        self.after = [defaultdict(dict) for _ in range(order + 1)]
        for n in range(1, order + 1):
            for gram, count in self.counts[n].items():
                self.after[n][gram[:-1]][gram[-1]] = count

    def probability(self, context, symbol):
        if context is None:
            return 1 / self.size
        lower = self.probability(context[1:] if context else None, symbol)
        said = self.after[len(context) + 1].get(context)
        if not said:
            return lower
        off = self.discounts[len(context) + 1]
        total = sum(said.values())
        backoff = sum(off[min(count, 3) - 1] for count in said.values()) / total
        count = said.get(symbol, 0)
        return (count - (off[min(count, 3) - 1] if count else 0)) / total + backoff * lower


@pytest.mark.parametrize(("size", "starts", "order"), [(5, 1, 4), (4, 2, 3), (300, 1, 9), (6, 1, 1)])
def test_equals_a_plain_count(size, starts, order):
    random = np.random.default_rng(3)
    sequence = np.minimum(random.geometric(0.4, 400), size - 1)
    sequence[[0, 50, 51, 200]] = size + np.arange(4) % starts
    model, plain = KneserNey.fit(sequence, size=size, starts=starts, order=order), PlainKneserNey(sequence, size, order)
    test = np.concatenate([[size], random.integers(0, min(size, 7), 60), [size + starts - 1], [2, 1, 1, 1, 2]])
    expected, context = [], ()
    for symbol in test.tolist():
        if symbol >= size:
            expected.append(0.0)
            context = (symbol,)
            continue
        context = context[max(len(context) - order + 1, 0) :] if order > 1 else ()
        expected.append(np.log(plain.probability(context, symbol)))
        context = (*context, symbol)
    np.testing.assert_allclose(model.log_probs(test), expected, atol=1e-10)


@pytest.mark.parametrize("nodes", [0, 60])
def test_every_context_sums_to_one_and_agrees_with_the_score(nodes):
    sequence = np.concatenate([[9], np.random.default_rng(0).geometric(0.4, 500).clip(1, 7)])
    model = KneserNey.fit(sequence, size=9, starts=1, order=4, max_nodes=nodes)
    assert not nodes or model.nodes <= nodes
    test = np.asarray([9, 1, 2, 1, 1, 1, 8, 0, 3, 1, 2, 7])
    logs, context = model.log_probs(test), []
    for i, symbol in enumerate(test.tolist()):
        p = model.distribution(model.context(context))
        assert p.sum() == pytest.approx(1, abs=1e-12) and (p > 0).all()
        if i:
            assert np.log(p[symbol]) == pytest.approx(logs[i])
        context.append(symbol)
    again = KneserNey.from_state(model.state())
    np.testing.assert_array_equal(again.log_probs(test), logs)


def test_the_gradient_of_the_discounts():
    sequence = np.concatenate([[9], np.random.default_rng(0).geometric(0.4, 500).clip(1, 7)])
    model = KneserNey.fit(sequence, size=9, starts=1, order=3)
    table = lookups(model, np.random.default_rng(1).integers(0, 8, 80))
    discounts = np.stack([level.discounts for level in model.levels])
    _, slopes = loss_and_slopes(table, discounts)
    for at in np.ndindex(discounts.shape):
        step = np.zeros_like(discounts)
        step[at] = 1e-6
        up, down = (loss_and_slopes(table, discounts + sign * step)[0] for sign in (1, -1))
        assert slopes[at] == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_a_score_is_per_character_at_either_level(verse):
    held_out = Texts(("And God saw the zebra.",), True)
    for level in ("character", "words"):
        model = Markov.fit(running(VERSE * 6), Config(level=level), Run())
        figures = model.score(held_out)
        assert figures["n"] == len(held_out.text) and 0 < figures["nats_per_char"] < 5
    assert verse.info.config["order"] == 7 and verse.info.config["level"] == "character"
    with pytest.raises(DataError):
        verse.score(Texts(("",), True))


def test_a_fit_does_not_measure_for_its_caller(verse, towns):
    told = []
    Markov.fit(listed(TOWNS), Config(tune=False), Run(callbacks=(told.append,)))
    assert [event.figures["nats_per_char"] > 0 for event in told] == [True] * 6  # one for every order tried
    assert verse.info.scores == towns.info.scores == []


def test_items_without_kinds_are_scored_under_the_mixture():
    kinds = Texts(("Ada", "Eva", "Ida", "Tom", "Jim"), labels=(0, 0, 0, 1, 1), names=("girl", "boy"))
    model = Markov.fit(Splits(kinds, kinds), Config(order=3), Run())
    each = [model.score(Texts(("Eda",), labels=(k,), names=kinds.names))["nats_per_char"] * 4 for k in (0, 1)]
    mixed = -np.log(0.6 * np.exp(-each[0]) + 0.4 * np.exp(-each[1]))
    assert model.score(Texts(("Eda",)))["nats_per_char"] * 4 == pytest.approx(mixed)
    assert model.score(Texts(("Eda",)))["n"] == 4


def test_it_writes_about_as_many_words_as_asked(verse):
    for words in (3, 20, 60):
        made = len(contents(verse, "write_text", words=words).split())
        assert 0.5 * words <= made <= 1.25 * words + 5
    assert contents(verse, "write_text", prompt="And God").startswith("And God")
    assert contents(verse, "write_text", temperature=0) == contents(verse, "write_text", temperature=0, seed=2)
    assert notices(verse, "write_text", words=300)
    assert "left out" in notices(verse, "write_text", style="pirate")[0]


@pytest.mark.parametrize("level", ["character", "word"])
def test_must_include_is_honoured(level):
    model = Markov.fit(running(VERSE * 6), Config(level=level), Run())
    for word in ("void", "spirit", "darkness"):
        assert word in contents(model, "write_text", must_include=word, words=12).casefold()
    with pytest.raises(RequestError, match="choose another"):
        contents(model, "write_text", must_include="quiz")


def test_a_word_unknown_to_the_words_is_told():
    model = Markov.fit(running(VERSE * 6), Config(level="word"), Run())
    assert "quiz" in notices(model, "write_text", prompt="And the quiz")[0]


def test_a_few_lines_are_scored_as_the_list_that_they_are(towns):
    few = ("Hamdorf", "Oberbach")
    assert towns.score(Texts((" Hamdorf\n\nOberbach\n",), running=True)) == towns.score(Texts(few))


def test_raw_samples_are_whole_items(towns):
    texts = towns.sample(300, seed=2)["texts"]
    assert all(texts) and max(map(len, texts)) <= max(map(len, TOWNS)) + 1


def test_invented_names_are_new_and_distinct(towns):
    names = contents(towns, "invent_names", count=12).splitlines()
    assert len({name.casefold() for name in names}) == 12 and not set(names) & {*TOWNS, "Hambach"}
    assert contents(towns, "invent_names", count=4).splitlines() == names[:4]
    assert all(name.startswith("Ro") for name in contents(towns, "invent_names", starts_with="rO").splitlines())
    assert "one kind" in notices(towns, "invent_names", kind="castle")[0]
    with pytest.raises(RequestError, match="other letters"):
        contents(towns, "invent_names", starts_with="Q")


def test_single_letters_invent_too():
    model = Markov.fit(listed(TOWNS), Config(order=1), Run())
    assert len(contents(model, "invent_names", count=3).splitlines()) == 3


def test_kinds():
    items = ["Ada", "Eva", "Ida", "Mia", "Tom", "Jim", "Tim", "Jon"]
    model = Markov.fit(listed(items, (0,) * 4 + (1,) * 4, ("girl", "boy")), Config(order=3), Run())
    assert model.info.labels == ["girl", "boy"]
    boys = contents(model, "invent_names", kind="Boys", count=3).splitlines()
    assert all(name[0] in "TJ" for name in boys)
    with pytest.raises(RequestError, match="girl, boy, any"):
        contents(model, "invent_names", kind="dragon")


def test_a_list_with_nothing_new_to_say_says_so():
    model = Markov.fit(Splits(Texts(("aaa", "aaa")), Texts(("aaa",))), Config(order=3), Run())
    assert any("new names" in note for note in notices(model, "invent_names", count=30))


def test_tasks_follow_the_data(verse, towns, tmp_path):
    assert verse.tasks == {"write_text"} and towns.tasks == {"invent_names"}
    again = Markov.from_pretrained(towns.save_pretrained(tmp_path / "towns"))
    assert again.tasks == {"invent_names"} and again.info.parameters == again.counts.nodes
    assert contents(again, "invent_names") == contents(towns, "invent_names")
    assert set(again.sample(3)) == {"texts"} and len(verse.sample(2)["texts"]) == 2
    with pytest.raises(RequestError):
        contents(towns, "write_text")


def test_pruning_fits_the_size():
    whole, small = (Markov.fit(running(VERSE * 6), Config(max_mib=size), Run()) for size in (0.0, 0.006))
    size = sum(array.nbytes for array in small.state().values())
    assert size <= 0.006 * 2**20 and small.info.parameters < whole.info.parameters
    with pytest.raises(ValueError, match="allow more"):
        Markov.fit(running(VERSE), Config(max_mib=1e-6), Run())


@pytest.mark.parametrize("options", [{"order": 11}, {"order": -1}, {"level": "syllable"}, {"max_mib": -1}])
def test_options_out_of_bounds(options):
    with pytest.raises(ValueError):
        Markov.fit(running(VERSE), Config(**options), Run())


def test_a_damaged_model_is_refused(towns):
    state = towns.state()
    for name in ("counts.symbols", "tokens", "lengths"):
        with pytest.raises(CheckpointError):
            Markov.from_state(towns.info, {**state, name: state[name][:-1]})


def test_cancelled(verse):
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        Markov.fit(running(VERSE), Config(), Run(cancel=cancel))


def test_a_file_of_names(tmp_path):
    (tmp_path / "towns.txt").write_text("\n".join(TOWNS))
    splits = load(tmp_path / "towns.txt")
    names = contents(Markov.fit(splits, Config(), Run()), "invent_names").splitlines()
    assert len(names) == 5 and not set(names) & set(TOWNS)


def test_it_needs_no_torch():
    code = "import generators.markov, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_distributions_of_a_whole_text_are_those_of_each_place():
    random = np.random.default_rng(0)
    sequence = np.append(5, random.integers(1, 5, 400))
    counts = KneserNey.fit(sequence, size=5, starts=1, order=4)
    held = np.concatenate([[5], random.integers(0, 5, 60)])
    found = counts.distributions(held, part=7)
    for i in range(1, len(held)):
        assert np.allclose(found[i], counts.distribution(counts.context(held[max(0, i - 3) : i].tolist())), atol=1e-6)
    chosen = found[np.arange(1, len(held)), held[1:]]
    assert np.allclose(np.log(chosen), counts.log_probs(held)[1:], atol=1e-5)
