"""Look inside: what a model tells of one line agrees with its score and with its network, and can be seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import a_mistake
from PIL import Image

import generators
from generators.core.errors import RequestError
from generators.core.inside import Inside
from generators.core.inside_picture import picture
from generators.core.layers import Attention, norm, rotary_tables
from generators.core.panels import WIDTH
from generators.core.recurrence import unrolled
from generators.core.training import Run
from generators.data.splits import Splits, Texts

SMALL = {"layers": 2, "width": 16, "context": 32, "batch": 8}
FAMILIES = {
    "gpt": {**SMALL, "heads": 2},
    "rnn": SMALL,
    "gru": SMALL,
    "lstm": SMALL,
    "bert": {**SMALL, "heads": 2, "words": 100},
    "markov": {"order": 4},
}
LINE = "the cat sat on the dog."
RHYME = "the cat sat on the mat. the dog ran to the cat. a rat sat on the dog.\n" * 30
NAMES = ("Anna", "Hanna", "Nina", "Tina", "Lena", "Nora", "Dora", "Tora", "Hana", "Lina") * 4
KINDS = tuple(int(name in ("Nora", "Dora", "Tora")) for name in NAMES)


def fitted(family: str, texts: Texts, **options):
    cls = generators.family(family)
    model = cls.fit(Splits(texts, texts), cls.Config(**{**FAMILIES[family], **options}), Run(steps=40))
    model.info.name = f"{family}-test"
    return model


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return fitted(request.param, Texts((RHYME,), True))


@pytest.fixture(scope="module", params=["gpt", "lstm", "markov"])
def inventor(request):
    return fitted(request.param, Texts(NAMES, False, KINDS, ("na", "ora")))


def agrees(model, inside: Inside, text: str, running: bool) -> None:
    figures = model.score(Texts((text,), running))
    nats = figures.get("nats_per_char", figures.get("masked_nats_per_word")) * figures["n"]
    assert inside.nats.sum() == pytest.approx(nats, abs=1e-4)
    assert len(inside.tokens) == len(inside.read) == len(inside.nats) == len(inside.guesses)


def test_the_surprise_is_the_scores(model):
    inside = model.look_inside(LINE)
    agrees(model, inside, LINE, running=True)
    assert "".join(inside.tokens) == LINE
    for token, nats, told in zip(inside.tokens, inside.nats, inside.guesses, strict=True):
        assert dict(told).get(token, np.exp(-nats)) == pytest.approx(np.exp(-nats), abs=1e-5)
        assert [p for _, p in told] == sorted((p for _, p in told), reverse=True)


def test_what_was_never_seen_is_told_too(model):
    agrees(model, model.look_inside("a zebra!"), "a zebra!", running=True)


def test_an_items_surprise_is_that_under_all_kinds(inventor):
    inside = inventor.look_inside("Dora")
    agrees(inventor, inside, "Dora", running=False)
    assert inside.tokens == [*"Dora", "\n"]
    likely = [inventor.share("Dora", kind) * inventor.lengths[1 + kind] for kind in (0, 1)]
    assert inside.kind == ("na", "ora")[int(np.argmax(likely))]
    with pytest.raises(RequestError, match="one line"):
        inventor.look_inside("Anna\nHanna")


def test_words_that_are_spelt_out_count_their_letters():
    model = fitted("markov", Texts((RHYME,), True), level="word")
    agrees(model, model.look_inside("the zebra sat"), "the zebra sat", running=True)


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_what_the_network_uses(causal):
    torch.manual_seed(0)
    attention = Attention(16, 2, causal)
    torch.nn.init.normal_(attention.out.weight)
    x, tables = torch.randn(1, 7, 16), rotary_tables(7, 8)
    weights, (_, _, v) = attention.weights(x, tables), attention.projected(x, tables)
    made = attention.out((weights @ v).transpose(1, 2).reshape(1, 7, 16))
    torch.testing.assert_close(made, attention(x, tables)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("layer", [torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM])
def test_states_are_those_of_pytorch(layer):
    torch.manual_seed(0)
    cell, x = layer(8, 8, batch_first=True), torch.randn(9, 8)
    gates, states = unrolled(cell, x)
    made, last = cell(x[None])
    torch.testing.assert_close(states["hidden"], made[0], atol=1e-5, rtol=0)
    if layer is torch.nn.LSTM:
        torch.testing.assert_close(states["cell"][-1], last[1][0, 0], atol=1e-5, rtol=0)
    assert all(((gate >= 0) & (gate <= 1)).all() for gate in gates.values())


def test_each_family_tells_what_is_its_own(model):
    inside, t = model.look_inside(LINE), len(model.look_inside(LINE).tokens)
    if model.family in ("gpt", "bert"):
        assert inside.attention.shape == (2, 2, t, t) and inside.attention.dtype == np.float32
        assert np.allclose(inside.attention.sum(-1), 1, atol=1e-5)
        assert (model.family == "gpt") == (not np.triu(inside.attention, 1).any())
    elif model.family == "markov":
        assert inside.orders.shape == (5, t)
        assert np.allclose(inside.orders.sum(0), 1, atol=1e-5)
    else:
        names = {"rnn": set(), "gru": {"reset", "update"}, "lstm": {"input", "forget", "output"}}[model.family]
        assert set(inside.gates) == names
        assert set(inside.states) == ({"cell", "hidden"} if model.family == "lstm" else {"hidden"})
        assert all(part.shape == (2, t, 16) for part in [*inside.gates.values(), *inside.states.values()])


@pytest.mark.parametrize("model", ["rnn", "gru", "lstm"], indirect=True)
@torch.inference_mode()
def test_the_states_of_a_line_are_those_that_predict(model):
    symbols = torch.tensor([0, *model.vocabulary.encode(LINE)[:-1]])
    last = model.net(symbols[None])[1][1]
    hidden = last[0] if model.family == "lstm" else last
    assert np.allclose(model.look_inside(LINE).states["hidden"][1, -1], hidden[0, 0], atol=1e-5)


@pytest.mark.parametrize("model", ["gpt"], indirect=True)
@torch.inference_mode()
def test_the_attention_of_a_line_is_that_of_normed_input(model):
    read = torch.tensor([0, *model.vocabulary.encode(LINE)[:-1]])
    x = norm(norm(model.net.symbols(read[None])))
    first = model.net.blocks[0].attention.weights(x, model.net.tables[:, : len(read)])[0]
    assert np.allclose(model.look_inside(LINE).attention[0], first, atol=1e-6)


def test_the_orders_add_up_to_the_probability():
    counts = fitted("markov", Texts((RHYME,), True)).counts
    sequence = np.random.default_rng(0).integers(0, counts.size, 200)
    shares = counts.shares(sequence)
    whole = np.exp(counts.log_probs(sequence))
    assert np.allclose(shares.sum(0), 1)
    assert np.allclose(shares[0] * whole, counts.floor[sequence] * _backed_off(counts, sequence))


def _backed_off(counts, sequence):
    """What is left of order 0 in each place: the product of all back-offs on the way, one symbol at a time."""
    left = []
    for i in range(len(sequence)):
        nodes = counts.context(sequence[:i].tolist())
        left.append(np.prod([level.backoff[n] for level, n in zip(counts.levels, nodes, strict=False) if n >= 0]))
    return np.asarray(left)


def test_json_holds_plain_numbers(model):
    told, inside = json.loads(model.look_inside(LINE).to_json()), model.look_inside(LINE)
    assert told["tokens"] == inside.tokens and told["nats"] == pytest.approx(inside.nats, abs=1e-4)
    assert ("attention" in told) == (inside.attention is not None)


def test_a_page_is_drawn(model):
    short, long = (picture(model.look_inside(text)) for text in ("the cat.", "the cat sat on the mat. a rat!"))
    for page in (short, long):
        assert page.width == WIDTH and 300 < page.height < 4000 and page.mode == "RGB"
        assert len(page.getcolors(maxcolors=2**24)) > 50
    assert np.asarray(short)[:20].min() == 255


def test_a_mixtures_weights_are_drawn():
    inside = Inside(
        model="two", family="mixture", unit="character", tokens=list("abc"), read=["", "a", "b"], nats=np.ones(3),
        guesses=[[("a", 0.5)]] * 3, weights=np.asarray([[0.2, 0.8]] * 3, np.float32), experts=["markov", "gpt"],
    )  # fmt: skip
    assert picture(inside).height > 400 and json.loads(inside.to_json())["experts"] == ["markov", "gpt"]


def test_lines_that_cannot_be_read_whole():
    gpt = fitted("gpt", Texts((RHYME,), True), context=16)
    for text, said in (("  ", "no text"), ("x" * 121, "121 characters"), ("cat " * 29, "sees 16")):
        with pytest.raises(RequestError, match=said):
            gpt.look_inside(text)


def test_the_command_writes_what_it_is_asked_for(mine, artwright, tmp_path: Path):
    assert artwright("inspect", "mine", "Karan", "--out", "d/i.png").stdout == "d/i.png\n"
    with Image.open(tmp_path / "d" / "i.png") as page:
        assert page.width == WIDTH
    told = json.loads(artwright("inspect", "mine", "Karan", "--json").stdout)
    artwright("inspect", "mine", "Karan", "--out", "i.json")
    assert told == json.loads((tmp_path / "i.json").read_text())
    assert "nats in all" in artwright("inspect", "mine", "Karan").stdout
    a_mistake(artwright("inspect", "mine", "Karan", "--out", "i.gif"), ".png", ".json")
    a_mistake(artwright("inspect", "mine", "x" * 200), "120")
    a_mistake(artwright("inspect", "vae-fashion", "Karan"), "vae-fashion", "model of text")


def test_the_command_shows_the_chain_that_writes_words_in(artwright, tmp_path: Path):
    with_words = ("inspect", "markov-scripture", "And the king", "--with", "sword, river")
    told = json.loads(artwright(*with_words, "--json").stdout)
    assert told["keywords"] == ["sword", "river"] and told["text"].startswith("And the king")
    assert all(word in told["text"] for word in told["keywords"])
    assert len(told["log_density"]) == 1 + len(told["kinds"]) == 1 + len(told["accepted"])
    artwright(*with_words, "--out", "chain.png")
    with Image.open(tmp_path / "chain.png") as page:
        assert page.width == WIDTH and page.height > 400
    assert told["text"].splitlines()[-1] in artwright(*with_words).stdout
    a_mistake(artwright("inspect", "markov-scripture", "", "--with", "zzyzx"), "zzyzx", "not one of the words")
    for model in ("markov-names", "vae-digits"):
        a_mistake(artwright("inspect", model, "", "--with", "sword"), f"{model} writes no running text")


def test_the_apps_page_shows_it(mine, monkeypatch, tmp_path: Path):
    from ui import build, inside

    names = inside.choices().choices
    assert ("mine", "mine") in names and ("vae-fashion", "vae-fashion") not in names
    shown, problem = inside.look("mine", "Karan")
    assert shown.size[0] == WIDTH and problem == ""
    assert inside.look("markov-scripture", "And the king", "sword")[0].size[0] == WIDTH
    for name, text in ((None, "a"), ("mine", " "), ("<b>", "a")):
        nothing, problem = inside.look(name, text)
        assert nothing is None and "aw-failed" in problem and "<b>" not in problem
    assert [page[0] for page in build(None).pages] == ["", "inside"]
