"""Which model `auto` takes, and when no model will do."""

from __future__ import annotations

import pytest

import generators
from chains import catalog
from generators.core.errors import RequestError
from generators.core.generator import ModelInfo, Score


def info(name: str, *tasks: str, labels: str = "", parameters: int = 100, data: str = "own", **scores: float):
    """A trained model without weights. scores: `own=1.5` is the figure of its first task on the set `own`."""
    from generators.core.generator import TASK_METRICS

    measured = [Score(TASK_METRICS[tasks[0]], value, where, 10) for where, value in scores.items()]
    return ModelInfo(
        name, name.split("-")[0], "image", list(tasks), labels=labels.split(), parameters=parameters, data=data,
        scores=measured,
    )  # fmt: skip


@pytest.fixture
def trained(monkeypatch):
    """Make these the only trained models."""

    def these(*infos: ModelInfo) -> None:
        monkeypatch.setattr(generators, "infos", lambda: sorted(infos, key=lambda info: info.name))

    return these


def chosen(task: str, model: str = "auto", **given: str) -> str:
    return catalog.choose(task, model, given)[0].name


def test_a_morph_needs_a_model_that_knows_both_ends(trained):
    digits, clothes = (
        info("vae-digits", "morph_images", labels="6 7", both=1.0),
        info("vae-fashion", "morph_images", labels="coat bag", both=2.0),
    )
    trained(digits, clothes)
    assert chosen("morph_images") == "vae-digits"
    assert catalog.choose("morph_images", "auto", {"start": "Coats", "end": "a bag"}) == (
        clothes,
        {"start": "coat", "end": "bag"},
    )
    with pytest.raises(RequestError, match="No single model here knows the start 'coat' and the end '7'"):
        chosen("morph_images", start="coat", end="7")
    with pytest.raises(RequestError, match="No model here knows the end 'fox'; they know 6, 7, coat, bag"):
        chosen("morph_images", start="coat", end="fox")
    with pytest.raises(RequestError, match="knows the start 'coat'"):
        chosen("morph_images", "vae-digits", start="coat", end="7")


def test_a_model_without_labels_serves_what_its_data_is_called_and_what_it_is_named_for(trained):
    trained(info("vae-fashion", "generate_image", labels="coat"), info("vae-pets", "generate_image"))
    assert chosen("generate_image", subject="coats") == "vae-fashion"
    assert chosen("generate_image", subject="pet") == "vae-pets"
    with pytest.raises(RequestError, match="subject 'dragon'; they know coat, pets"):
        chosen("generate_image", subject="dragon")
    assert chosen("generate_image", "vae-pets", subject="dragon") == "vae-pets"  # which says that it ignores it
    trained(info("vae-pets", "generate_image"))
    assert chosen("generate_image", subject="dragon") == "vae-pets"


def test_what_data_is_called_is_not_shown_as_a_subject(trained):
    pets = info("dcgan-pets", "generate_image")
    trained(info("vae-fashion", "generate_image", labels="coat"), pets)
    assert "coat" in str(catalog.tool_specs()[0]) and "pets" not in str(catalog.tool_specs()[0])
    trained(pets)
    assert "pets" in str(catalog.tool_specs()[0])


def test_a_picture_goes_to_a_model_of_its_own_data(trained):
    trained(info("vae-a", "vary_image", data="a"), info("vae-b", "vary_image", data="b"))
    assert [catalog.choose("vary_image", data=data)[0].name for data in ("a", "b", "c")] == ["vae-a", "vae-b", "vae-a"]


def test_what_the_prompt_lists_is_listed_once():
    specs = {spec["name"]: spec["parameters"]["properties"] for spec in catalog.tool_specs()}
    assert "ankle-boot" in specs["generate_image"]["subject"]["description"]
    assert "ankle-boot" not in str(specs["morph_images"])
    assert specs["write_text"]["style"]["description"] == "kind of text: austen, scripture"


def test_figures_on_a_shared_set_decide(trained):
    text = "write_text"
    trained(info("a", text, mine=0.1), info("b", text, kjv=1.2, mine2=0.2), info("c", text, kjv=1.1), info("d", text))
    assert chosen(text) == "c"
    trained(info("a", text, kjv=1.1, parameters=20), info("b", text, kjv=1.1, parameters=10))
    assert chosen(text) == "b"


def test_figures_on_different_sets_do_not_decide_nor_does_the_name(trained, monkeypatch, tmp_path):
    text = "write_text"
    trained(info("a", text, one=0.1), info("b", text, two=1.2, parameters=101))
    assert chosen(text) == "b"
    trained(info("a", text, parameters=10**6), info("b", text, two=1.2))
    assert chosen(text) == "b"
    trained(info("a", text), info("b", text))
    assert chosen(text) == "a"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.json").touch()
    monkeypatch.setattr(generators, "PRETRAINED", tmp_path)
    trained(info("a", text, one=0.1, parameters=10**6), info("b", text))
    assert chosen(text) == "b"


def test_an_unknown_style_is_the_models_to_leave_out(trained):
    scripture = info("markov-scripture", "write_text", data="kjv", kjv=1.2)
    trained(scripture, info("markov-mine", "write_text", data="poems.txt", kjv=1.3))
    assert catalog.choose("write_text", "auto", {"style": "poem"}) == (scripture, {"style": "poem"})
    assert chosen("write_text", "markov-mine", style="pirate") == "markov-mine"
    assert chosen("write_text", style="mine") == chosen("write_text", style="poems.txt") == "markov-mine"
    assert chosen("write_text", style="KJV") == "markov-scripture"


def test_only_text_is_free(trained):
    trained(info("markov-names", "invent_names", labels="male female"))
    with pytest.raises(RequestError, match="No model here knows the kind 'dragon'; they know male, female"):
        chosen("invent_names", kind="dragon")


def test_a_style_that_no_model_knows_is_told(artwright, home):
    done = artwright("generate", "write_text", "--args", '{"style": "poem", "words": 10, "seed": 1}', "--out", "d")
    assert done.returncode == 0, done.stderr
    assert "'poem' is left out" in done.stdout + done.stderr
