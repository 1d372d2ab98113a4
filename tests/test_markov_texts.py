"""What a Markov model can be fitted to and how: levels, more text, several models, no long copies, many samples."""

from __future__ import annotations

import numpy as np
import pytest

from generators.core.errors import RequestError
from generators.core.generator import Partial, Request
from generators.core.training import Run
from generators.core.writing import Pace
from generators.data.splits import DataError, Source, Splits, Texts
from generators.markov import Config, Markov

VERSE = (
    "In the beginning God created the heaven and the earth. And the earth was without form, and void; and darkness "
    "was upon the face of the deep. And the Spirit of God moved upon the face of the waters.\n"
    "And God said, Let there be light: and there was light. And God saw the light, that it was good.\n"
)
SHORE = (
    "She sold sea shells by the sea shore. The shells that she sold were sea shells, I am sure. And so if she sold "
    "shells by the shore, the shells were shore shells.\n"
)


def running(text: str, name: str = "verse") -> Splits[Texts]:
    cut = int(len(text) * 0.9)
    return Splits(Texts((text[:cut],), True), Texts((text[cut:],), True), source=Source(name))


def listed(*items: str, **kinds) -> Splits[Texts]:
    return Splits(Texts(items, **kinds), Texts(items[:1], **({**kinds, "labels": (0,)} if kinds else {})))


def fit(text: str, **options) -> Markov:
    return Markov.fit(running(text), Config(**options), Run())


def written(model: Markov, seed: int = 1, **args) -> str:
    request = Request("write_text", args)
    return next(a.content for a in model.generate(request, seed=seed) if not isinstance(a, Partial))


def longest_copy(text: str, source: str) -> int:
    longest = 0
    for start in range(len(text)):
        while text[start : start + longest + 1] in source and start + longest < len(text):
            longest += 1
    return longest


@pytest.mark.parametrize("level", ["character", "word", "byte", "token"])
def test_every_level_scores_and_writes(level, tmp_path):
    text = (VERSE + "Caf\u00e9 \u4e16\u754c \U0001f642.\n") * 20
    model = fit(text, level=level, tokens=300)
    again = Markov.from_pretrained(model.save_pretrained(tmp_path / level))
    held_out = Texts((VERSE + "A caf\u00e9 is new here.",), True)
    figures = model.score(held_out)
    assert figures["n"] == held_out.characters and figures == again.score(held_out)
    assert 0 < figures["nats_per_char"] < 2
    made = written(model, words=30)
    assert made == written(again, words=30) and 15 <= len(made.split()) <= 45
    assert "\ufffd" not in written(model, words=20, temperature=0.2)
    inside = again.look_inside("And the caf\u00e9")
    assert "".join(inside.tokens) == ("And the caf\u00e9" if level != "byte" else "And the caf\u01c3\u01a9")
    assert inside.nats.sum() > 0 and inside.counts is not None and inside.counts.shape == inside.totals.shape


def test_the_pieces_of_a_text_make_no_difference():
    text = VERSE * 10
    whole, pieces = (Texts(items, True) for items in ((text,), (text[:1000], text[1000:1001], text[1001:])))
    for level in ("character", "word"):
        models = [Markov.fit(Splits(one, one), Config(level=level), Run()) for one in (whole, pieces)]
        assert models[0].score(whole) == models[1].score(pieces)


def test_lists_are_learnt_by_character_or_word_only():
    for options in ({"level": "byte"}, {"level": "token"}, {"max_copied": 5}):
        with pytest.raises(ValueError, match="list"):
            Markov.fit(listed("Ada", "Eva", "Ida"), Config(**options), Run())
    for options in ({"tokens": 5}, {"max_copied": 501}, {"level": "syllable"}):
        with pytest.raises(ValueError):
            fit(VERSE, **options)


def test_it_goes_on_counting(tmp_path):
    first = fit(VERSE * 10)
    first.save_pretrained(tmp_path / "verse")
    more = running(SHORE * 10, "shore")
    second = first.refit(more, first.refit_config(), Run())
    held_out = Texts((SHORE,), True)
    assert second.score(held_out)["nats_per_char"] < 0.5 * first.score(held_out)["nats_per_char"]
    assert second.score(Texts((VERSE,), True))["nats_per_char"] < 0.5
    assert second.info.base["name"] == "verse" and len(second.vocabulary) > len(first.vocabulary)
    assert "shells" in written(second, prompt="She sold", words=20)
    with pytest.raises(DataError, match="another sort"):
        first.refit(listed("Ada", "Eva", "Ida"), first.refit_config(), Run())
    with pytest.raises(ValueError, match="stays so"):
        first.refit_config(order=3)
    pruned = fit(VERSE * 6, max_mib=0.006)
    with pytest.raises(ValueError, match="pruned"):
        pruned.refit(more, pruned.refit_config(), Run())


def test_a_list_goes_on_too():
    first = Markov.fit(listed("Ada", "Eva", "Ida", "Mia"), Config(order=3, tune=False), Run())
    second = first.refit(listed("Zoe", "Zoia"), first.refit_config(), Run())
    both = Markov.fit(listed("Ada", "Eva", "Ida", "Mia", "Zoe", "Zoia"), Config(order=3, tune=False), Run())
    assert second.score(Texts(("Zola",))) == pytest.approx(both.score(Texts(("Zola",))))
    assert second.lengths.tolist() == both.lengths.tolist() and set(both.known) == set(second.known)


@pytest.mark.parametrize("level", ["character", "word"])
def test_a_merged_model_is_the_mean_of_its_parts(level, tmp_path):
    models = [fit(text * 10, level=level, order=3) for text in (VERSE, SHORE)]
    for model, name in zip(models, ("verse", "shore"), strict=True):
        model.save_pretrained(tmp_path / name)
    both = Markov.merged(models, [3, 1])
    again = Markov.from_pretrained(both.save_pretrained(tmp_path / "both"))
    first = "e" if level == "character" else " the"
    p = both.counts.distribution(both.counts.context([]))[both.vocabulary.symbols[first]]
    parts = [m.counts.distribution(m.counts.context([]))[m.vocabulary.symbols[first]] for m in models]
    assert p == pytest.approx(0.75 * parts[0] + 0.25 * parts[1])
    for text in (VERSE, SHORE):
        held_out = Texts((text,), True)
        figures = [model.score(held_out)["nats_per_char"] for model in (both, *models)]
        assert figures[0] < max(figures[1:]) and again.score(held_out)["nats_per_char"] == figures[0]
    assert "0.75 and 0.25" in both.card_notes() and both.info.data == "verse"
    assert written(both, words=30) == written(again, words=30)
    assert len(both.sample(3)["texts"]) == 3
    with pytest.raises(ValueError, match="merged already"):
        Markov.merged([models[0], both])
    with pytest.raises(ValueError, match="cannot count more"):
        both.refit(running(SHORE), both.refit_config(), Run())


def test_what_cannot_be_merged():
    verse, words, names = fit(VERSE), fit(VERSE, level="word"), Markov.fit(listed("Ada", "Eva"), Config(order=2), Run())
    wrong = [([verse], None), ([verse, words], None), ([verse, names], None)]
    for models, weights in [*wrong, *(([verse, verse], some) for some in ([1.0], [1.0, 0.0], [1.0, float("nan")]))]:
        with pytest.raises(ValueError):
            Markov.merged(models, weights)


def test_merged_lists_know_the_items_of_both():
    models = [Markov.fit(listed(*items), Config(order=3), Run()) for items in (("Ada", "Ida"), ("Zoe", "Zoia", "Zola"))]
    both = Markov.merged(models)
    assert both.lengths.tolist() == [5, 5] and set(both.known) == {*models[0].known, *models[1].known}
    names = next(iter(both.generate(Request("invent_names", {"count": 3}), seed=1)))
    assert names is not None


@pytest.mark.parametrize(("level", "most"), [("character", 12), ("word", 3)])
def test_no_run_longer_than_allowed_is_copied(level, most, tmp_path):
    text = (VERSE + SHORE) * 5
    free, kept = (fit(text, level=level, max_copied=limit) for limit in (0, most))
    again = Markov.from_pretrained(kept.save_pretrained(tmp_path / "kept"))
    source = running(text).train.text
    unit = (lambda made: made) if level == "character" else (lambda made: kept.vocabulary.split(made))
    train = unit(source)
    runs = {tuple(train[i : i + most + 1]) for i in range(len(train) - most)}
    copied = 0
    for seed in range(5):
        made = unit(written(kept, seed, words=40))
        assert not any(tuple(made[i : i + most + 1]) in runs for i in range(len(made) - most))
        made = unit(written(free, seed, words=40))
        copied += any(tuple(made[i : i + most + 1]) in runs for i in range(len(made) - most))
    assert copied and written(again, 3) == written(kept, 3)
    assert f"no more than {most}" in kept.card_notes()


def copies(model: Markov, made: str, text: str) -> bool:
    most = model.info.config["max_copied"]
    return any(made[i : i + most + 1] in text for i in range(len(made) - most))


def test_the_limit_holds_after_merging_and_going_on():
    other = SHORE.replace("S", "\u017f").replace("h", "\u0127")  # whose letters come between and after
    first, second = fit(VERSE * 5, max_copied=12), fit(other * 5, max_copied=12)
    more = running(other * 5)
    for model in (Markov.merged([first, second]), first.refit(more, first.refit_config(), Run())):
        assert model.info.config["max_copied"] == 12
        for seed in range(8):
            made = written(model, seed, words=40)
            assert not copies(model, made, running(VERSE * 5).train.text) and not copies(model, made, more.train.text)
    with pytest.raises(ValueError, match="the same limit"):
        Markov.merged([first, fit(SHORE * 5, max_copied=20)])


def test_words_are_written_in_without_long_copies():
    model = fit((VERSE + SHORE) * 5, max_copied=10)
    train = running((VERSE + SHORE) * 5).train.text
    found = 0
    for seed in range(4):
        try:
            made = written(model, seed, words=20, must_include="heaven, shells")
        except RequestError as error:
            assert "copies no more" in str(error) or "found no text" in str(error)
            continue
        found += 1
        assert "heaven" in made and "shells" in made and not copies(model, made, train)
    assert found >= 2


def test_where_nothing_else_can_follow_it_copies():
    assert written(fit("a" * 3000, max_copied=3), words=1, temperature=0.5).strip("a") == ""


def test_another_models_pictures_do_not_stay(tmp_path):
    folder = fit(VERSE * 5).save_pretrained(tmp_path / "model")
    (folder / "curves.svg").write_text("<svg/>")
    again = Markov.from_pretrained(folder)
    again.save_pretrained(folder)  # measured again, say
    assert "curves.svg" in (folder / "README.md").read_text()
    fit(SHORE * 5).save_pretrained(folder)
    assert not (folder / "curves.svg").exists() and "curves.svg" not in (folder / "README.md").read_text()


def test_what_a_merged_model_has_counted(tmp_path):
    models = [fit(text * 10, order=4) for text in (VERSE, SHORE)]
    inside = Markov.merged(models).look_inside("the sea")
    context, found = inside.followers[4]
    assert context == "he " or context == "the "[-len(context) :]
    assert found and sum(count for _, count in found) > 0


def test_bytes_of_other_scripts_are_no_blanks():
    text = "Voil\u00e0 la f\u00eate \u00e0 \u00c5bo. \u5834\u6240\u306f\u3053\u3053\u3067\u3059\u3002 " * 60
    model = fit(text, level="byte", order=8)
    tokens = model.vocabulary.split("Voil\u00e0 la \u5834\u6240")
    pace = Pace(words=9)
    assert all(pace.goes_on(token) for token in tokens) and pace.count == 3
    for seed in range(6):
        made = written(model, seed, words=8, temperature=0.3, prompt="Voil\u00e0")
        assert "\ufffd" not in made and 5 <= len(made.split()) <= 13


def test_many_texts_are_drawn_at_once():
    model = fit(VERSE * 10, level="word", order=3)
    texts = model.sample(50, seed=3)["texts"]
    assert len(texts) == 50 and all(60 <= len(text.split()) <= 130 for text in texts)
    assert len(set(texts)) == 50 and model.sample(5, seed=3)["texts"].tolist() == texts[:5].tolist()
    assert sum(text[-1] in ".!?" for text in texts) > 25
    with pytest.raises(RequestError):
        model.sample(0)


def test_many_items_are_drawn_as_often_as_the_chain_says():
    kinds = {"labels": (0, 0, 0, 1), "names": ("girl", "boy")}
    model = Markov.fit(listed("Ada", "Ada", "Eva", "Tom", **kinds), Config(order=4, tune=False), Run())
    texts = model.sample(4000, label="girl", seed=1)["texts"]
    shares = [float(np.mean(texts == name)) for name in ("Ada", "Eva")]
    nats = [model.likelihood.nats(Texts((name,)), 0).sum() for name in ("Ada", "Eva")]
    assert shares[0] / shares[1] == pytest.approx(np.exp(nats[1] - nats[0]), rel=0.15)
    assert max(map(len, texts)) <= 3
    assert {"Tom", "Ada"} <= set(model.sample(300, seed=2)["texts"].tolist())
