"""Going on from a trained language model: what is taken over, what may be set, low-rank updates, resuming."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import a_mistake
from test_language_models import FAMILIES, NAMES, RHYME

import generators
from chains.training import Training, configured
from generators.core.checkpoint import sha256
from generators.core.errors import Cancelled, CheckpointError, DataError
from generators.core.generator import Cancel, card
from generators.core.lora import LowRank
from generators.core.training import CHECKPOINT, Run
from generators.data.splits import Source, Splits, Texts

OTHER = "the cat \u00e6te the rat: the d\u00f8g sat. the rat ran \u00e6fter the d\u00f8g.\n" * 20
STILL = {"learning_rate": 1e-9, "matrix_rate": 1e-9}


def splits(text: str, name: str = "other.txt") -> Splits[Texts]:
    texts = Texts((text,), True)
    return Splits(texts, texts, source=Source(name, "MIT", "2"))


@pytest.fixture(scope="module", params=["gpt", "lstm"])
def base(request, tmp_path_factory):
    """A stored model of RHYME."""
    cls = generators.family(request.param)
    source = Source("rhyme.txt", "CC0", "1")
    model = cls.fit(replace(splits(RHYME), source=source), cls.Config(**FAMILIES[request.param]), Run(steps=200))
    folder = model.save_pretrained(tmp_path_factory.mktemp("base") / f"{request.param}-rhyme")
    return cls.from_pretrained(folder)


only_gpt = pytest.mark.parametrize("base", ["gpt"], indirect=True)


def tuned(base, steps: int = 40, data: Splits[Texts] | None = None, run: Run | None = None, **options):
    return base.refit(data or splits(OTHER), base.refit_config(**options), run or Run(steps=steps))


def loss(model, text: str = OTHER) -> float:
    return model.score(Texts((text,), True))["nats_per_char"]


def test_it_learns_the_new_text_sooner_than_a_new_model(base):
    before = {name: array.copy() for name, array in base.state().items()}
    fresh = type(base).fit(splits(OTHER), base.Config(**FAMILIES[base.family]), Run(steps=40))
    for options in ({}, {"lora": 4}):
        model = tuned(base, **options)
        assert loss(model) < min(loss(base), loss(fresh)) - 0.1
    assert all(np.array_equal(array, before[name]) for name, array in base.state().items())


@pytest.mark.parametrize("lora", [0, 2])
def test_new_characters_get_symbols_and_are_learnt(base, lora):
    start = tuned(base, 1, lora=lora, **STILL)
    assert start.vocabulary.tokens == ["", *sorted({*RHYME, *OTHER})]
    assert start.vocabulary.decode(start.vocabulary.encode(OTHER)) == OTHER
    known = [base.vocabulary.symbols[token] for token in base.vocabulary.tokens[1:]]
    moved = [start.vocabulary.symbols[token] for token in base.vocabulary.tokens[1:]]
    read = [torch.tensor([model.vocabulary.encode(RHYME[:12]).tolist()]) for model in (base, start)]
    was, now = (model.net(symbols)[0][0] for model, symbols in zip((base, start), read, strict=True))
    assert torch.allclose(was[:, known], now[:, moved], atol=2e-3)  # known characters read and predict as before
    model = tuned(base, 80, lora=lora, learning_rate=1e-2)
    new = model.vocabulary.symbols["\u00f8"]
    chance = [m.predictor.distribution(m.predictor.context(m.vocabulary.encode("the d").tolist()))[new]
              for m in (start, model)]  # fmt: skip
    assert chance[0] < 0.05 and chance[1] > 0.15


def test_low_rank_updates_change_nothing_else(base):
    model = tuned(base, 40, lora=2, learning_rate=1e-2)
    assert not isinstance(model.net, LowRank) and model.state().keys() == base.state().keys()
    old = {token: i for i, token in enumerate(base.vocabulary.tokens)}
    both = [(old[token], i) for i, token in enumerate(model.vocabulary.tokens) if token in old]
    was, now = map(list, zip(*both, strict=True))
    for name, tensor in base.net.state_dict().items():
        changed = model.net.state_dict()[name]
        if name in model.tables:
            assert torch.equal(tensor[was], changed[now])
        elif tensor.ndim == 2:
            sizes = torch.linalg.svdvals(changed - tensor)
            assert sizes[1] > 0.1 * sizes[0] and sizes[2] < 0.02 * sizes[0], (
                name
            )  # beyond is what half precision rounds
        else:
            assert torch.equal(tensor, changed), name


def test_merged_is_unmerged(base):
    net = copy.deepcopy(base.net)
    low = LowRank(net, 3, net.get_submodule(base.inside), base.tables, torch.tensor([2, 5]), seed=1)
    symbols = torch.tensor([[1, 5, 2, 7]])
    assert torch.equal(low(symbols)[0], base.net(symbols)[0])
    for parameter in (*low.left, *low.rows):
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    unmerged = low(symbols)[0]
    unmerged.sum().backward()
    assert all(p.grad is not None for p in (*low.left, *low.right, *low.rows)) and not any(
        p.grad is not None for p in net.parameters()
    )
    difference = [(low.updated()[name] - net.get_parameter(name)).detach() for name in low.matrices]
    assert {int(torch.linalg.matrix_rank(matrix, rtol=1e-4)) for matrix in difference} == {3}
    assert torch.equal(low.merged()(symbols)[0], unmerged) and not torch.equal(unmerged, base.net(symbols)[0])


@only_gpt
@pytest.mark.parametrize("lora", [0, 2])
def test_a_resumed_run_ends_as_the_unbroken_one(base, lora, tmp_path: Path):
    whole = tuned(base, run=Run(steps=12, seed=3, precision="fp32"), lora=lora)
    cancel = Cancel()

    def stop(event) -> None:
        if event.kind == "step":
            cancel.set()

    run = Run(steps=12, seed=3, precision="fp32", folder=tmp_path, cancel=cancel, callbacks=(stop,))
    with pytest.raises(Cancelled):
        tuned(base, run=run, lora=lora)
    again = replace(run, cancel=Cancel(), callbacks=(), resume=True)
    with pytest.raises(CheckpointError, match="other base_sha256"):
        other = copy.copy(base)
        other.weights_sha256 = "another"
        tuned(other, run=again, lora=lora)
    resumed = tuned(base, run=again, lora=lora)
    assert all(np.array_equal(array, resumed.state()[name]) for name, array in whole.state().items())


@only_gpt
def test_where_nothing_gets_better_the_start_is_kept(base):
    data = Splits(Texts((OTHER,), True), Texts((RHYME,), True))  # the more it learns of one, the worse at the other
    start = tuned(base, 1, data, **STILL)
    assert loss(tuned(base, 30, data, learning_rate=0.1), RHYME) == pytest.approx(loss(start, RHYME), abs=0.002)


@only_gpt
def test_shape_is_the_bases_and_its_matrices_move_less(base):
    config = configured(type(base), ("batch=4", "dropout=0.1", "layers=2"), base)
    assert (config.layers, config.width, config.batch, config.dropout) == (2, 16, 4, 0.1)
    assert config.matrix_rate < base.Config().matrix_rate
    with pytest.raises(ValueError, match="width is 16 in gpt-rhyme, and stays so"):
        configured(type(base), ("width=32",), base)
    with pytest.raises(ValueError, match="context is 16 in gpt-rhyme"):
        base.refit(splits(OTHER), base.Config(**{**FAMILIES["gpt"], "context": 32}), Run(steps=1))
    with pytest.raises(ValueError, match=r"lora is 4.*--from"):
        type(base).fit(splits(OTHER), base.Config(lora=4), Run(steps=1))


@only_gpt
def test_its_information_names_the_base(base):
    model = tuned(base, 1)
    assert model.info.base == {"name": "gpt-rhyme", "weights_sha256": base.weights_sha256, "data": "rhyme.txt"}
    assert (model.info.data, model.info.licence) == ("other.txt", "CC0 and MIT")
    assert "Goes on from `gpt-rhyme`" in card(model) and "trained on rhyme.txt" in card(model)
    model.info.name, model.weights_sha256 = "second", "3"
    third = tuned(model, 1)
    assert third.info.base["data"] == "rhyme.txt, then other.txt" and third.info.licence == "CC0 and MIT"


@only_gpt
def test_a_list_after_a_list_only(base, tmp_path: Path):
    items = Splits(Texts(NAMES, False), Texts(NAMES, False), source=Source("names.txt"))
    with pytest.raises(DataError, match=r"names\.txt is a list of items, and gpt-rhyme learnt from a running text"):
        tuned(base, 1, items)
    kinds = tuple(int(name.endswith("ora")) for name in NAMES)
    both = replace(items, train=Texts(NAMES, False, kinds, ("na", "ora")))
    first = type(base).fit(both, base.Config(**FAMILIES["gpt"]), Run(steps=100))
    with pytest.raises(ValueError, match="not stored yet"):
        tuned(first, 1, items)
    first.save_pretrained(tmp_path / "first")
    more = Texts(("Zora", "Flora", "Nora"), False, (0, 0, 1), ("ora", "new"))
    model = tuned(first, 1, Splits(more, more), **STILL)
    start = model.net.symbols.weight[len(model.vocabulary) :]
    before = first.net.symbols.weight[len(first.vocabulary) :]
    assert torch.allclose(start, torch.stack([before[1], before.mean(0)]), atol=1e-2)  # of a byte
    assert {*first.known.tolist()} < {*model.known.tolist()} and model.info.labels == ["ora", "new"]


@pytest.mark.usefixtures("home")
def test_the_command_line(artwright, tmp_path: Path, home: Path):
    (tmp_path / "a.txt").write_text(RHYME)
    (tmp_path / "b.txt").write_text(OTHER)
    shape = [part for key, value in FAMILIES["gru"].items() for part in ("--set", f"{key}={value}")]
    first = artwright("train", "gru", "--data", "a.txt", "--steps", "20", *shape)
    assert first.returncode == 0, first.stderr
    going_on = ["train", "gru", "--data", "b.txt", "--steps", "5", "--from"]
    done = artwright(*going_on, "home/models/gru-a", "--set", "lora=2")
    assert done.returncode == 0, done.stderr
    info = json.loads((home / "models" / "gru-b" / "config.json").read_text())
    assert info["base"]["weights_sha256"] == sha256(home / "models" / "gru-a" / "model.safetensors")
    assert "--from gru-a " in info["training"]["command"] and info["config"]["lora"] == 2
    a_mistake(artwright(*going_on, "nobody"), "nobody", "gru-a")
    a_mistake(artwright("train", "rnn", "--data", "b.txt", "--from", "gru-a"), "family gru, not rnn")
    a_mistake(artwright(*going_on, "gru-a", "--set", "width=32"), "width is 16 in gru-a")
    a_mistake(artwright("train", "mixture", "--data", "b.txt", "--from", "gru-a"), "only codegpt, gpt, gru")
    assert not (home / "runs" / "gru-b" / CHECKPOINT).exists()
    assert "--from gru-a --set lora=2" in Training("gru", "b.txt", start="gru-a", settings=("lora=2",)).command()
