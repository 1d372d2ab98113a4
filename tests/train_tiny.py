"""Train a tiny model of a family on made-up pictures and print its losses, a JSON line a step; for test_processes.py.

python tests/train_tiny.py FAMILY STEPS
accelerate launch --cpu --num_processes 2 tests/train_tiny.py FAMILY STEPS
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

import generators
from generators.core import training
from generators.core.training import Run, is_main
from generators.data.splits import Images, Splits

OPTIONS: dict[str, dict[str, Any]] = {
    "vae": {"latent": 3, "width": 4, "hidden": 16, "label_width": 4, "components": 0},
    "cgan": {"latent": 4, "width": 4, "discriminator_width": 8, "hidden": 16, "features": 16, "label_width": 4},
}


def main() -> None:
    family, steps = sys.argv[1], int(sys.argv[2])
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 160)
    pixels = (random.integers(0, 60, (160, 28, 28)) + 120 * labels[:, None, None]).astype(np.uint8)
    images = Images(pixels, labels, ("dark", "light"))
    lines: list[str] = []
    together = training._together

    def noted(figures: dict[str, float], accelerator: Any) -> dict[str, float]:
        figures = together(figures, accelerator)
        lines.append(json.dumps(figures))
        return figures

    training._together = noted
    cls = generators.family(family)
    cls.fit(Splits(images, images), cls.Config(batch=16, **OPTIONS[family]), Run(steps=steps, precision="fp32"))
    if is_main():
        print("\n".join(lines))


if __name__ == "__main__":
    main()
