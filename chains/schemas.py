"""The tools' arguments: one pydantic model a task, typed, bounded and described, as the agent's LLM reads them.

A tool is a task, not a model. Which tools the app offers follows from what its trained models serve
(`chains.tools`); the whole table stands here so that the embedded LLM is taught all of it once.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

Seed = Annotated[int | None, Field(ge=0, le=2**31 - 1)]
Model = Annotated[str, Field(max_length=64, description="family (gan, vae, gpt, ...) or model name")]
Temperature = Annotated[float, Field(ge=0.0, le=2.0)]
ImageId = Annotated[str, Field(max_length=80, description="image id; last is the newest")]


class Args(BaseModel):
    """Base of all tool arguments: unknown names are an error, never silently dropped."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean(cls, value: object) -> object:
        """No argument is a boolean; pydantic would take true for 1. A number may well come as "5" or 5.0."""
        if isinstance(value, bool):
            raise PydanticCustomError("boolean", "should be a number or a text, not true or false")
        return value


class GenerateImage(Args):
    """Draw new pictures of a subject."""

    subject: Annotated[str, Field(max_length=60, description="what to draw")]
    count: Annotated[int, Field(ge=1, le=64, description="how many pictures")] = 1
    model: Model = "auto"
    seed: Seed = None


class MorphImages(Args):
    """Turn one subject into another, step by step."""

    start: Annotated[str, Field(max_length=60, description="first subject or image id")]
    end: Annotated[str, Field(max_length=60, description="last subject or image id")]
    frames: Annotated[int, Field(ge=2, le=64, description="how many steps")] = 16
    model: Model = "auto"
    seed: Seed = None


class VaryImage(Args):
    """Make variations of an image that is already there."""

    image: ImageId = "last"
    count: Annotated[int, Field(ge=1, le=64, description="how many variations")] = 4
    strength: Annotated[float, Field(ge=0.0, le=1.0, description="how different, 0 to 1")] = 0.5
    model: Model = "auto"
    seed: Seed = None


class CompleteImage(Args):
    """Keep a part of an image and paint the rest anew."""

    image: ImageId = "last"
    keep: Annotated[Literal["top", "bottom", "left", "right", "outside"], Field(description="the part that stays")]
    count: Annotated[int, Field(ge=1, le=64, description="how many versions")] = 1
    seed: Seed = None


class WriteText(Args):
    """Write a passage of text."""

    prompt: Annotated[str, Field(max_length=400, description="first words, which the text goes on from")] = ""
    style: Annotated[str, Field(max_length=40, description="kind of text")] = "auto"
    words: Annotated[int, Field(ge=1, le=1000, description="how many words")] = 60
    must_include: Annotated[str | None, Field(max_length=60, description="a word that must be in it")] = None
    model: Model = "auto"
    temperature: Temperature = 0.8
    seed: Seed = None


class FillBlanks(Args):
    """Fill the gaps in a sentence."""

    text: Annotated[str, Field(max_length=1000, description="the sentence, its gaps written ___ or [MASK]")]


class WriteCode(Args):
    """Write Python code."""

    prompt: Annotated[str, Field(max_length=1000, description="first line, or what the code does")]
    lines: Annotated[int, Field(ge=1, le=200, description="how many lines")] = 20
    temperature: Temperature = 0.8
    seed: Seed = None


class InventNames(Args):
    """Invent new names."""

    kind: Annotated[str, Field(max_length=40, description="kind of name")] = "any"
    count: Annotated[int, Field(ge=1, le=100, description="how many names")] = 5
    starts_with: Annotated[str, Field(max_length=20, description="first letters")] = ""
    model: Model = "auto"
    seed: Seed = None


class ComposeMusic(Args):
    """Compose a piece of music."""

    key: Annotated[str, Field(max_length=20, description="musical key such as C major or A minor")] = "auto"
    bars: Annotated[int, Field(ge=1, le=64, description="how many bars")] = 8
    model: Model = "auto"
    temperature: Temperature = 0.8
    seed: Seed = None


class HarmonizeMelody(Args):
    """Add the other voices to a melody."""

    melody: Annotated[str, Field(max_length=1000, description="notes such as C4 D4 E4/2")]
    seed: Seed = None


class MakeSound(Args):
    """Make a short sound."""

    kind: Annotated[str, Field(max_length=40, description="kick, snare, hi-hat, clap, tom, cymbal, ...")]
    count: Annotated[int, Field(ge=1, le=64, description="how many sounds")] = 1
    model: Model = "auto"
    seed: Seed = None


class MakeVideo(Args):
    """Make a short video."""

    subject: Annotated[str, Field(max_length=60, description="what moves in it")] = "auto"
    frames: Annotated[int, Field(ge=2, le=120, description="how many frames")] = 20
    model: Model = "auto"
    seed: Seed = None


class TrainModel(Args):
    """Train a new model on the person's own data."""

    family: Annotated[str, Field(max_length=40, description="vae, markov, gpt, lstm, ...")]
    data: Annotated[str, Field(max_length=200, description="an upload's id or a packaged source")]
    name: Annotated[str, Field(max_length=64, description="the new model's name")]
    minutes: Annotated[float, Field(gt=0, le=600, description="how long to train")] = 5


class About(Args):
    """Answer questions about this app: what it can do, its models, how a family works."""

    topic: Annotated[str, Field(max_length=200, description="what the question is about")]


TASKS: dict[str, type[Args]] = {
    "generate_image": GenerateImage,
    "morph_images": MorphImages,
    "vary_image": VaryImage,
    "complete_image": CompleteImage,
    "write_text": WriteText,
    "fill_blanks": FillBlanks,
    "write_code": WriteCode,
    "invent_names": InventNames,
    "compose_music": ComposeMusic,
    "harmonize_melody": HarmonizeMelody,
    "make_sound": MakeSound,
    "make_video": MakeVideo,
    "train_model": TrainModel,
    "about": About,
}


def describe(task: str, known: dict[str, list[str]] | None = None) -> dict[str, object]:
    """The tool of `task` as `{"name", "description", "parameters"}`; `known` adds what the installed models know to
    an argument's description.

    `known={"subject": ["sneaker", "coat"]}` makes the subject's description end in `: sneaker, coat`.
    """
    args = TASKS[task]
    schema = args.model_json_schema()
    schema.pop("title", None)
    schema.pop("description", None)
    for name, field in schema["properties"].items():
        field.pop("title", None)
        if known and known.get(name):
            field["description"] = f"{field['description']}: {', '.join(known[name])}"
    return {"name": task, "description": args.__doc__ or task, "parameters": schema}
