"""What every family of pictures shares: drawing, morphing and varying over latents and labels.

A family says how a latent is drawn, how pictures are made of latents, and which latent a given picture has; the rest
follows. A picture is rendered in a batch of one wherever somebody will see it, so its bits do not depend on how many
were asked for.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from generators.core import inputs
from generators.core.bounds import within
from generators.core.errors import RequestError
from generators.core.generator import Cancel, Generator, Partial, Request, rng
from generators.core.labels import match_label
from generators.data.images import fit as fit_pictures
from generators.data.splits import Images, Splits

SIZES = (28, 32, 64)
MAX_COUNT = 64
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Given:
    """A picture that a request names: pixels as the model takes them, and the label it was drawn for, if that is
    known; `foreign` where it was not made here, so that nothing says whether it is light on dark.
    """

    pixels: Pixels
    label: int | None
    foreign: bool


class PictureModel(Generator):
    """A model of square grey or colour pictures with a latent vector of d numbers and, where the data had labels, an
    embedding of e numbers a label.
    """

    medium = "image"
    tasks = frozenset({"generate_image", "morph_images", "vary_image"})
    size: int  # side of its pictures, pixels
    channels: int  # 1 or 3

    @abstractmethod
    def latent(self, label: int, random: np.random.Generator) -> Floats:
        """One latent (d,) of a class, drawn with `random`."""

    @abstractmethod
    def centre(self, label: int) -> Floats:
        """The mean (d,) of a class's latents."""

    @abstractmethod
    def embedding(self, label: int) -> Floats:
        """What stands for a label, (e,); (0,) where the data had none."""

    @abstractmethod
    def render(self, latents: Floats, embeddings: Floats) -> Pixels:
        """Pictures (B, S, S[, 3]) of latents (B, d) and embeddings (B, e)."""

    @abstractmethod
    def invert(self, pixels: Pixels, label: int | None, cancel: Cancel) -> tuple[Floats, int, float]:
        """The latent (d,) of one picture (S, S[, 3]), the label it is taken for, and how badly both explain it.

        `label` None: the label that explains it best. The badness may be compared between pictures and labels.
        """

    def render_one(self, latent: Floats, embedding: Floats) -> Pixels:
        """One picture (S, S[, 3]), rendered in a batch of one."""
        picture: Pixels = self.render(latent[None], embedding[None])[0]
        return picture

    def fitting(self, images: Images) -> Images:
        """The images in this model's size, channels and numbering of labels. Raises ValueError for unknown labels."""
        name, known, names = self.info.name or f"this {self.family}", self.info.labels, list(images.names)
        images = fit_pictures(images, self.size, self.channels == 3)
        if known and known != names:
            if not names or not set(names) <= set(known):
                classes = ", ".join(names) or "none"
                raise ValueError(f"The pictures' classes are {classes}; {name} knows {', '.join(known)}.")
            numbers = np.asarray([known.index(label) for label in names], dtype=np.int64)
            return Images(images.pixels, numbers[images.labels], tuple(known))
        return images

    def sample(self, count: int, *, label: str | None = None, seed: int = 0) -> dict[str, NDArray[Any]]:
        """`count` pictures, all labels in turn unless `label` is given; see `Generator.sample`."""
        if count < 1:
            raise RequestError(f"count is {count}; it must be 1 or more.")
        classes = max(1, len(self.info.labels))
        labels = np.arange(count, dtype=np.int64) % classes if label is None else np.full(count, self._label(label))
        return self._sampled(labels, seed)

    def sample_like(self, images: Images, seed: int = 0) -> dict[str, NDArray[Any]]:
        """As many samples as there are pictures, and of each label as many as of theirs: what they compare with."""
        known, names = self.info.labels, images.names
        if not known:
            return self.sample(len(images), seed=seed)
        numbers = np.asarray([known.index(name) for name in names] or [0], np.int64)
        return self._sampled(numbers[images.labels], seed)

    def _sampled(self, labels: NDArray[np.int64], seed: int) -> dict[str, NDArray[Any]]:
        latents = np.stack([self.latent(int(y), rng(seed, i)) for i, y in enumerate(labels)])
        table = np.stack([self.embedding(y) for y in range(max(1, len(self.info.labels)))])
        parts = [
            self.render(latents[i : i + 500], table[labels[i : i + 500]]) for i in range(0, len(labels), 500)
        ]  # not one by one: 10,000 are wanted for a distance
        return {"images": np.concatenate(parts), "labels": labels}

    def draw(self, request: Request, *, seed: int, cancel: Cancel) -> Iterator[Any]:
        """Serve `generate_image`, `morph_images` or `vary_image`."""
        serve = {"generate_image": self._generate, "morph_images": self._morph, "vary_image": self._vary}
        yield from serve[request.task](dict(request.args), seed, cancel)

    def _generate(self, args: dict[str, Any], seed: int, cancel: Cancel) -> Iterator[Any]:
        subject, count = str(args.get("subject", "")), within("count", args.get("count", 1), 1, MAX_COUNT)
        label = self._label(subject)
        if subject and not self._knows(subject):
            yield Partial(f"{self.info.name} learned from pictures without labels, so it ignores {subject!r}.")
        for i in range(count):
            cancel.check()
            yield self.render_one(self.latent(label, rng(seed, i)), self.embedding(label))

    def _morph(self, args: dict[str, Any], seed: int, cancel: Cancel) -> Iterator[Any]:
        frames = within("frames", args.get("frames", 16), 2, MAX_COUNT)
        ends = [str(args.get(name, "")) for name in ("start", "end")]
        given = [self._given(end) for end in ends]
        said = [None if shown else self._label(end) for end, shown in zip(ends, given, strict=True)]
        if any(end and shown is None and not self._knows(end) for end, shown in zip(ends, given, strict=True)):
            yield Partial(f"{self.info.name} learned from pictures without labels: it morphs one picture into another.")
        latents, labels = [], []
        for i, (end, shown) in enumerate(zip(ends, given, strict=True)):
            if shown is None:
                labels.append(said[i] or 0)
                latents.append(self.latent(labels[-1], rng(seed, i)))
                continue
            latent, label, told = self._latent_of(shown, said[1 - i], cancel)
            if told:
                yield Partial(f"The picture {end} was {told}.")
            latents.append(latent)
            labels.append(label)
        first, last = ((latent, self.embedding(label)) for latent, label in zip(latents, labels, strict=True))
        yield from self.morph(first, last, frames, cancel=cancel)

    def morph(
        self,
        first: tuple[Floats, Floats],
        last: tuple[Floats, Floats],
        frames: int,
        path: Literal["spherical", "linear"] = "spherical",
        cancel: Cancel | None = None,
    ) -> Iterator[Pixels]:
        """`frames` pictures from one pair of latent (d,) and embedding (e,) to another, both ends included.

        On the arc between their directions (Shoemake 1985) or on the straight line.
        """
        between = slerp if path == "spherical" else lerp
        for t in np.linspace(0, 1, frames):
            if cancel is not None:
                cancel.check()
            latent, embedding = (between(a, b, float(t)) for a, b in zip(first, last, strict=True))
            yield self.render_one(latent, embedding)

    def _vary(self, args: dict[str, Any], seed: int, cancel: Cancel) -> Iterator[Any]:
        count = within("count", args.get("count", 4), 1, MAX_COUNT)
        strength = float(within("strength", args.get("strength", 0.5), 0.0, 1.0))
        identifier = str(args.get("image", ""))
        given = self._given(identifier)
        if given is None:
            raise RequestError(f"{identifier!r} is not a picture's id; give one that a tool reported, or `last`.")
        latent, label, told = self._latent_of(given, None, cancel)
        if told:
            yield Partial(f"The picture {identifier[:12]} was {told}.")
        for i in range(count):
            cancel.check()
            yield self.render_one(self.varied(latent, label, strength, rng(seed, i)), self.embedding(label))

    def varied(self, latent: Floats, label: int, strength: float, random: np.random.Generator) -> Floats:
        """A latent (d,) near another one of the same class: strength 0 is that one, 1 a new draw of the class.

        With m the class's mean, m + sqrt(1 - strength^2) (latent - m) + strength (draw - m): whatever the strength, it
        is spread about the mean as the class's own latents are.
        """
        centre = self.centre(label)
        kept = np.sqrt(1 - strength**2)
        mixed = centre + kept * (latent - centre) + strength * (self.latent(label, random) - centre)
        return np.asarray(mixed, np.float32)

    def _knows(self, subject: str) -> bool:
        """Whether the subject can be drawn: a label was looked up already; without labels, what the data is called."""
        return bool(self.info.labels) or match_label(subject, [self.info.name.split("-", 1)[-1]]) is not None

    def apart(self, pixels: Pixels, cancel: Cancel) -> float:
        """How far a picture (H, W[, 3]) of any size is from what this model makes of it, 0 to 255: the mean absolute
        difference to its reconstruction, or where that is nearer, of its negative.
        """
        shown = self._fitted(pixels)
        found = []
        for way in (shown, 255 - shown) if self.channels == 1 else (shown,):
            latent, label, _ = self.invert(way, None, cancel)
            made = self.render_one(latent, self.embedding(label))
            found.append(float(np.abs(made.astype(np.float32) - way).mean()))
        return min(found)

    def _fitted(self, pixels: Pixels) -> Pixels:
        """One picture (H, W[, 3]) at this model's size and channels."""
        images = Images(pixels[None], np.zeros(1, np.int64), tuple(self.info.labels))
        fitted: Pixels = self.fitting(images).pixels[0]
        return fitted

    def _label(self, subject: str) -> int:
        """The number of the label that `subject` spells; 0 where there are no labels. Raises `RequestError`."""
        if not self.info.labels:
            return 0
        found = match_label(subject, self.info.labels)
        if found is None:
            raise RequestError(
                f"{self.info.name or f'This {self.family}'} does not know {subject!r}; it knows "
                f"{', '.join(self.info.labels)}."
            )
        return self.info.labels.index(found)

    def _given(self, end: str) -> _Given | None:
        """The picture whose id `end` is, brought to this model's size and channels; None for a label, also for one that
        is spelled like an id. Raises `RequestError` where there is no such picture.
        """
        if not inputs.is_id(end) or match_label(end, self.info.labels):
            return None
        picture = inputs.image(end)
        how = picture.provenance
        said = str(how.args.get("subject", "")) if how is not None else ""
        found = match_label(said, self.info.labels) if said else None
        return _Given(self._fitted(picture.content), self.info.labels.index(found) if found else None, how is None)

    def _latent_of(self, given: _Given, other: int | None, cancel: Cancel) -> tuple[Floats, int, str]:
        """A given picture's latent and label, and what the person is to know: what it was taken for, and that it was
        turned to its negative where that is explained much better, as a dark thing on white paper is.

        `other`: the label of a morph's other end, for which it is taken where nothing says what it shows.
        """
        label = given.label if given.label is not None else other
        latent, taken, badness = self.invert(given.pixels, label, cancel)
        told = []
        if given.foreign and self.channels == 1:
            negative = self.invert(255 - given.pixels, label, cancel)
            if negative[2] < badness:
                latent, taken, badness = negative
                told.append("taken as its negative, which looks more like what the model learned")
        if self.info.labels and given.label is None:
            why = "the other end" if other is not None else "the likeliest"
            told.append(f"taken for {self.info.labels[taken]}, {why}")
        return latent, taken, ", and ".join(told)


def square_pictures(splits: Splits[Images], size: int, family: str) -> tuple[Splits[Images], int, int]:
    """Training and validation pictures at the size a model takes, that size (`size`, or for 0 the data's own), and
    their channels. Raises ValueError for a size that no model takes.
    """
    pixels = splits.train.pixels
    side = size or pixels.shape[1]
    if side not in SIZES or pixels.shape[1] != pixels.shape[2]:
        width, height = pixels.shape[2], pixels.shape[1]
        raise ValueError(f"The pictures are {width}x{height}; a {family} takes squares of 28, 32 or 64: --set size=32.")
    channels = 3 if pixels.ndim == 4 else 1
    train, held = (fit_pictures(part, side, channels == 3) for part in (splits.train, splits.val))
    return Splits(train, held, None, splits.source), side, channels


def lerp(a: Floats, b: Floats, t: float) -> Floats:
    """Between two vectors on the straight line, t in [0, 1]; exactly the ends at 0 and 1."""
    if t in (0.0, 1.0):
        return a if t == 0.0 else b
    return np.asarray((1 - t) * a + t * b, np.float32)


def slerp(a: Floats, b: Floats, t: float) -> Floats:
    """Between two vectors, t in [0, 1], on the arc between their directions, length in proportion (Shoemake 1985).

    Exactly the ends at 0 and 1.
    """
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if t in (0.0, 1.0) or min(lengths) < 1e-8:
        return lerp(a, b, t)
    angle = float(np.arccos(np.clip(a @ b / (lengths[0] * lengths[1]), -1, 1)))
    if angle < 1e-4 or angle > np.pi - 1e-4:
        return lerp(a, b, t)
    direction = (np.sin((1 - t) * angle) * a / lengths[0] + np.sin(t * angle) * b / lengths[1]) / np.sin(angle)
    return np.asarray(((1 - t) * lengths[0] + t * lengths[1]) * direction, np.float32)
