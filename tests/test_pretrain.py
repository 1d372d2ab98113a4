"""How shipped models are made: bases, and the Kneser-Ney figures that models of text are set beside."""

from __future__ import annotations

import pytest
from test_language_models import FAMILIES, NAMES, RHYME

import generators
from generators import pretrain
from generators.core.generator import TASK_METRICS, card
from generators.core.training import Run
from generators.data.splits import Splits, Texts
from generators.markov import Config, Markov
from generators.pretrain import RECIPES, Recipe, kneser_ney_score

KINDS = Texts(NAMES, False, tuple(int(name.endswith("ora")) for name in NAMES), ("na", "ora"))
NEW = Texts(("Nana", "Flora"), False, (0, 1), KINDS.names)


@pytest.mark.parametrize(
    ("train", "held_out", "order"),
    [
        (Texts((RHYME * 10,), True), Texts(("the rat ate the dog: \u00e9",), True), 7),
        (KINDS, NEW, 6),
        (Texts(NAMES), Texts(NEW.items), 4),
    ],
)
def test_it_is_what_a_markov_model_scores(train, held_out, order):
    figures = Markov.fit(Splits(train, held_out), Config(order=order), Run()).score(held_out)
    score = kneser_ney_score(train, held_out, order, "set")
    assert (score.metric, score.data, score.n) == (f"kneser_ney_{order}_nats_per_char", "set", figures["n"])
    assert score.value == pytest.approx(figures["nats_per_char"], abs=1e-12)


def test_an_item_may_have_line_breaks():
    """A line break is a character, and an item's end is another, which stands after b alone."""
    train = Texts(("a\nb",) * 9)
    whole, cut = (kneser_ney_score(train, Texts((item,)), 7, "set") for item in ("a\nb", "a\n"))
    assert (whole.n, cut.n) == (4, 3)
    assert whole.value < cut.value


def test_it_ranks_nothing():
    metric = kneser_ney_score(Texts((RHYME,), True), Texts((RHYME,), True), 7, "set").metric
    assert metric not in TASK_METRICS.values()


@pytest.fixture
def recipes(monkeypatch, tmp_path, home):
    """Tiny ones of texts written here."""
    (tmp_path / "rhyme.txt").write_text(RHYME)
    (tmp_path / "names.txt").write_text("\n".join(sorted(set(NAMES))))
    rhyme, names = (str(tmp_path / name) for name in ("rhyme.txt", "names.txt"))
    tiny = {"batch": 4, "dropout": 0.0}
    these = {
        "gpt-first": Recipe("gpt", rhyme, 0.01, rhyme, FAMILIES["gpt"]),
        "gpt-second": Recipe("gpt", rhyme, 0.01, rhyme, tiny, base="gpt-first"),
        "lstm-names": Recipe("lstm", names, 0.01, names, FAMILIES["lstm"]),
        "markov-names": Recipe("markov", names, None, names, {"order": 3}),
        "bert-rhyme": Recipe("bert", rhyme, 0.01, rhyme, {"layers": 1, "width": 16, "heads": 2, "context": 8}),
    }
    monkeypatch.setattr(pretrain, "RECIPES", these)


@pytest.mark.usefixtures("recipes")
def test_a_model_goes_on_from_its_base(tmp_path):
    place = tmp_path / "made"
    with pytest.raises(ValueError, match=r"goes on from gpt-first.*pretrain gpt-first makes it"):
        pretrain.pretrain("gpt-second", place=place)
    first = pretrain.pretrain("gpt-first", place=place)
    second = pretrain.pretrain("gpt-second", place=place)
    assert second.info.base["weights_sha256"] == first.weights_sha256
    assert (second.config.width, second.config.batch) == (16, 4)
    again = generators.load(place / "gpt-second")
    assert [score.metric for score in again.info.scores] == ["nats_per_char", "kneser_ney_7_nats_per_char"]
    assert "`kneser_ney` is no figure of this model" in card(again)


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("lstm-names", ["nats_per_char", "kneser_ney_6_nats_per_char"]),
        ("markov-names", ["nats_per_char"]),
        ("bert-rhyme", None),
    ],
)
@pytest.mark.usefixtures("recipes")
def test_whom_kneser_ney_is_set_beside(tmp_path, name, metrics):
    model = pretrain.pretrain(name, place=tmp_path / "made")
    found = [score.metric for score in model.info.scores]
    assert found == metrics if metrics else not any("kneser_ney" in metric for metric in found)
    assert ("`kneser_ney`" in card(model)) == any("kneser_ney" in metric for metric in found)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_can_be_made(name):
    """Its options are in bounds, and its base stands before it."""
    recipe = RECIPES[name]
    family = generators.family(recipe.family)
    assert set(recipe.config) <= set(family.refit_options) if recipe.base else family.Config(**recipe.config)
    assert not recipe.base or list(RECIPES).index(recipe.base) < list(RECIPES).index(name)
