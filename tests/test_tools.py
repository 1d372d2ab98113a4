"""The tools: LangChain's own conformance suites over every tool, and what a person gets from Python."""

from __future__ import annotations

import numpy as np
import pytest
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from chains import generator_tool, make, tools
from chains.about import answer
from chains.prompting import describe_tool
from chains.schemas import describe
from chains.store import Store
from chains.tools import check, perform
from generators.core.artifact import Image, open_artifact, regenerate
from generators.core.errors import RequestError
from generators.core.inputs import reading

EXAMPLES = {
    "generate_image": {"subject": "sneaker", "count": 2, "seed": 1},
    "morph_images": {"start": "coat", "end": "bag", "frames": 3, "seed": 1},
    "vary_image": {"count": 2, "seed": 1},  # and an image, see `_example`
    "write_text": {"prompt": "In the beginning", "words": 12, "seed": 1},
    "fill_blanks": {"text": "In the beginning God [MASK] the heaven."},
    "write_code": {"prompt": "def area(radius):", "lines": 4, "seed": 1},
    "invent_names": {"count": 3, "starts_with": "Ma", "seed": 1},
    "about": {"topic": "what can you do"},
}


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))


def test_every_tool_is_exercised_here():
    assert set(tools()) == set(EXAMPLES)


def _example(name: str) -> dict:
    if name != "vary_image":
        return EXAMPLES[name]
    return EXAMPLES[name] | {"image": Store().put(Image(np.full((28, 28), 90, np.uint8), None)).id}


def _suite(name: str, base: type) -> type:
    class Suite(base):
        @property
        def tool_constructor(self):
            return tools()[name]

        @property
        def tool_invoke_params_example(self):
            return _example(name)

    Suite.__name__ = Suite.__qualname__ = f"Test_{name}_{base.__name__}"
    return Suite


for _name in EXAMPLES:
    for _base in (ToolsUnitTests, ToolsIntegrationTests):
        _made = _suite(_name, _base)
        globals()[_made.__name__] = _made
del _made, _base


def test_a_tool_call_carries_references_not_bytes():
    call = {"name": "generate_image", "args": EXAMPLES["generate_image"], "id": "1", "type": "tool_call"}
    message = tools()["generate_image"].invoke(call)
    assert len(message.artifact) == 2
    for reference in message.artifact:
        artifact = open_artifact(reference["path"])
        assert artifact.sha256 == reference["sha256"] and reference["media_type"] == "image/png"


def test_make_gives_artifacts_that_can_be_made_again(tmp_path):
    for name in sorted({*EXAMPLES} - {"about"}):
        for i, artifact in enumerate(make(name, **_example(name))):
            path = artifact.write(tmp_path / f"{name}{i}{artifact.suffix}")
            with reading(lambda identifier: Store().get(identifier).open()):
                _, differences = regenerate(path)
            assert differences == []


def test_a_picture_is_varied_by_a_model_of_its_own_data():
    (shoe,) = (Store().put(item) for item in make("generate_image", subject="sneaker", model="vae", seed=2))
    call = {"image": shoe.id, "count": 3, "strength": 0.3, "seed": 4}
    message = tools()["vary_image"].invoke({"name": "vary_image", "args": call, "id": "1", "type": "tool_call"})
    assert f"Made 3 variations of {shoe.id} with vae-fashion, seed 4" in message.content
    assert len(message.artifact) == 3
    photo = np.full((40, 60, 3), 255, np.uint8)  # of another size, in colour, on white paper
    photo[10:30, 15:45] = (120, 20, 20)
    kept = Store().put(Image(photo, None))
    outcome = perform("vary_image", check("vary_image", {"image": kept.id, "count": 2, "seed": 1}))
    assert len(outcome.artifacts) == 2 and "negative" in outcome.notices[0]
    with pytest.raises(RequestError, match="'last' is not a picture's id"):
        make("vary_image")


def test_a_model_without_labels_does_not_claim_a_subject():
    made = generator_tool("dcgan-fashion").invoke({"subject": "unicorn", "seed": 1})
    assert "Drew 1 picture with dcgan-fashion" in made and "ignores 'unicorn'" in made
    assert "picture of fashion with" in generator_tool("dcgan-fashion").invoke({"subject": "fashion", "seed": 1})


def test_a_morph_from_a_stored_picture_can_be_made_again(tmp_path, capsys, monkeypatch):
    import json

    from chains import commands
    from chains.store import Store

    (coat,) = (Store().put(item) for item in make("generate_image", subject="coat", seed=2))
    call = {"start": coat.id[:9], "end": "bag", "frames": 3, "seed": 1}
    message = tools()["morph_images"].invoke({"name": "morph_images", "args": call, "id": "1", "type": "tool_call"})
    assert f"Morphed {coat.id} into bag" in message.content
    assert "taken for" not in message.content  # its file says what it was drawn for
    last = message.artifact[-1]["path"]
    assert open_artifact(last).provenance.args["start"] == coat.id
    assert commands.regenerate(last) == 0
    with pytest.raises(RequestError, match="no artifact '0123456789ab'"):
        make("morph_images", start="0123456789ab", end="bag")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "coat").write_text("a file that is named like a label")
    (tmp_path / "mine.png").write_bytes(coat.path.read_bytes())
    capsys.readouterr()
    for start, named in (("coat", "coat"), ("mine.png", coat.id)):
        commands.generate("morph_images", json.dumps({**call, "start": start}), None, False)
        assert f"Morphed {named} into bag" in capsys.readouterr().out
    coat.path.unlink()
    with pytest.raises(RequestError, match=f"no artifact '{coat.id}'"):
        commands.regenerate(last)


def test_one_model_is_a_tool_of_its_own():
    tool = generator_tool("vae-fashion")
    assert tool.name == "vae_fashion"
    assert "with vae-fashion, seed 3" in tool.invoke({"subject": "coat", "seed": 3})
    with pytest.raises(RequestError, match="leave model out"):
        tool.invoke({"subject": "coat", "model": "cgan-fashion"})
    assert "with gpt-code, seed 1" in generator_tool("gpt-code").invoke(
        EXAMPLES["write_code"]
    )  # it has no such argument
    with pytest.raises(RequestError, match=r"no model '\.'; there are "):
        generator_tool(".")


def test_the_prompt_says_what_the_models_know():
    tool = tools()["generate_image"]
    from langchain_core.utils.function_calling import convert_to_openai_tool

    spec = convert_to_openai_tool(tool)["function"]
    assert "ankle-boot" in describe_tool(spec)
    words = [w for w in tool.args["subject"]["description"].split(": ")[1].split(", ")]
    assert describe_tool(spec) == describe_tool(describe("generate_image", {"subject": words}))


def test_about_answers_from_what_is_installed():
    assert "vae-fashion" in answer("which models do you have")
    assert "neg_elbo_nats" in answer("how good is vae-fashion")
    assert "artwright train" in answer("how do I train my own model")


def test_about_names_no_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    told = answer("where are files stored on disk, privacy")
    assert f"~/{tmp_path.name}/store" in told and str(tmp_path) not in told


@pytest.mark.parametrize(
    ("task", "arguments"),
    [
        ("generate_image", {"subject": "coat", "count": True}),
        ("generate_image", {"subject": "coat", "seed": False}),
        ("write_text", {"temperature": True}),
        ("write_text", {"prompt": True}),
    ],
)
def test_a_boolean_is_no_number_and_no_text(task, arguments):
    name, value = list(arguments.items())[-1]
    with pytest.raises(RequestError) as error:
        check(task, arguments)
    problem = f"{name}={value}: should be a number or a text, not true or false"
    assert str(error.value) == f"{task} cannot take that: {problem}."


@pytest.mark.parametrize("count", [5, 5.0, "5"])
def test_a_whole_number_may_come_in_any_form(count):
    assert check("generate_image", {"subject": "coat", "count": count}).model_dump()["count"] == 5


@pytest.mark.parametrize("count", [5.5, "five", "", None])
def test_what_is_no_whole_number_is_refused(count):
    with pytest.raises(RequestError, match="count="):
        check("generate_image", {"subject": "coat", "count": count})


def test_the_functions_keep_their_names_next_to_the_modules():
    import importlib

    import chains

    importlib.import_module("chains.tools")
    importlib.import_module("chains.agent")
    assert callable(chains.tools) and callable(chains.agent) and callable(chains.chat_model)
