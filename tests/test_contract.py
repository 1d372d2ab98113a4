"""What every generator promises, checked on every trained model that is here: one suite, no family is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

import generators
from generators.core import checkpoint
from generators.core.artifact import Artifact, open_artifact
from generators.core.errors import Cancelled, CheckpointError, RequestError
from generators.core.generator import Cancel, Request

WITHOUT_LUCK = ("fill_blanks",)  # what is likeliest, whatever the seed
MODELS = sorted(path.parent.name for path in generators.PRETRAINED.glob("*/config.json"))


def request(model, **more) -> Request:
    """A small request for the model's first task."""
    label = model.info.labels[0] if model.info.labels else None
    args = {
        "generate_image": {"subject": label, "count": 4},
        "write_text": {"words": 20},
        "write_code": {"prompt": "def area(radius):", "lines": 6},
        "fill_blanks": {"text": "And the ___ said unto him, Fear [MASK]."},
        "invent_names": {"count": 4},
    }
    task = next(task for task in args if task in model.tasks)
    return Request(task, {**{k: v for k, v in args[task].items() if v is not None}, **more})


def made(model, asked: Request, seed: int = 5) -> list[Artifact]:
    return [item for item in model.generate(asked, seed=seed) if isinstance(item, Artifact)]


@pytest.fixture(params=MODELS)
def model(request):
    return generators.load(request.param)


def test_something_is_shipped():
    assert MODELS


def test_the_same_seed_makes_the_same(model):
    first, again, other = made(model, request(model)), made(model, request(model)), made(model, request(model), 6)
    assert [a.sha256 for a in first] == [a.sha256 for a in again]
    differs = [a.sha256 for a in first] != [a.sha256 for a in other]
    assert differs != (request(model).task in WITHOUT_LUCK)


def test_a_batch_contains_the_smaller_batch(model):
    asked = request(model)
    if "count" not in asked.args:
        pytest.skip("makes one thing at a time")
    few, many = made(model, asked), made(model, request(model, count=8))
    contents = [[str(item.content) for item in items] for items in (few, many)]
    if len(few) == 1:  # a list of items as one text
        contents = [content[0].splitlines() for content in contents]
    assert contents[1][: len(contents[0])] == contents[0]


def test_an_artifact_carries_what_made_it(model, tmp_path):
    for artifact in made(model, request(model)):
        path = artifact.write(tmp_path / f"a{artifact.suffix}")
        read = open_artifact(path)
        assert read.sha256 == artifact.sha256
        assert read.provenance == artifact.provenance
        assert read.provenance.generator == model.info.name
        assert read.provenance.weights_sha256 == checkpoint.sha256(
            generators.find(model.info.name) / "model.safetensors"
        )


def test_save_and_load_make_the_same(model, tmp_path):
    model_again = type(model).from_pretrained(generators.find(model.info.name))
    folder = model_again.save_pretrained(tmp_path / "copy")
    copy = type(model).from_pretrained(folder)
    assert [a.sha256 for a in made(copy, request(copy))] == [a.sha256 for a in made(model, request(model))]


def test_a_count_out_of_bounds_is_refused(model):
    for task in model.tasks:
        for bad in (-1, 0, 10**9):
            key = {"write_text": "words", "write_code": "lines", "morph_images": "frames"}.get(task, "count")
            args = (
                {"start": "a", "end": "b", "subject": (model.info.labels or ["x"])[0]}
                if key not in ("words", "lines")
                else {}
            )
            with pytest.raises(RequestError):
                list(model.generate(Request(task, {**args, key: bad}), seed=1))


def test_a_task_it_does_not_serve_is_refused(model):
    with pytest.raises(RequestError, match="does not serve"):
        list(model.generate(Request("paint_house"), seed=1))


def test_cancelled_before_it_starts(model):
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        list(model.generate(request(model), seed=1, cancel=cancel))


def test_raw_samples(model):
    if set(model.tasks) <= set(WITHOUT_LUCK):
        with pytest.raises(RequestError, match="no raw samples"):
            model.sample(6, seed=3)
        return
    arrays = model.sample(6, seed=3)
    if "images" in arrays:
        assert arrays["images"].dtype == np.uint8 and len(arrays["images"]) == 6
        assert arrays["labels"].tolist() == [i % max(len(model.info.labels), 1) for i in range(6)]
    else:
        assert len(arrays["texts"]) == 6


def test_a_damaged_file_is_refused(model, tmp_path):
    folder = model.save_pretrained(tmp_path / "damaged")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for bad in (whole[: len(whole) // 2], b"\x80\x04\x95pickle", b"", whole[:-4] + b"abcd"):
        weights.write_bytes(bad)
        with pytest.raises(CheckpointError):
            type(model).from_pretrained(folder)
    weights.write_bytes(whole)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(CheckpointError, match="format"):
        type(model).from_pretrained(folder)


def test_the_card_shows_measured_figures(model):
    card = (generators.find(model.info.name) / "README.md").read_text()
    assert model.info.scores, "a shipped model has held-out figures"
    for score in model.info.scores:
        assert score.metric in card and score.n > 0
