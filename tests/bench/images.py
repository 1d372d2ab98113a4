"""Our VAE against pythae's at an equal wall-clock budget, on Fashion-MNIST and on the same cores, one after the other.

    python tests/bench/images.py [--seconds 180] [--seed 0] [--pythae FOLDER]

pythae is not a dependency. Where it is missing, install it beside this project's packages, not among them:

    pip install --no-deps --target /tmp/pythae pythae cloudpickle scipy
    python tests/bench/images.py --pythae /tmp/pythae

Both train on the same pictures and are measured on the same 10,000 test pictures: the one-sample negative ELBO (BCE,
prior N(0, I)) and the Frechet distance of 10,000 samples in the features of one small classifier. pythae's VAE is its
own model with its own MNIST networks (latent 16, its BCE loss), trained with Adam by a plain loop, so that its
trainer's checkpoints and printing cost it no time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generators.core.metrics import Classifier, frechet_distance, judge_of
from generators.core.training import Run, progress_bar, shuffled
from generators.data.images import load
from generators.data.splits import Images, Splits
from generators.vae import VAE, Config

SAMPLES = 10_000
TARGETS = {
    "neg_elbo_nats": "<= 240 shipped; below pythae here",
    "frechet_distance": "below pythae here",
    "label_accuracy": "-",
}


def ours(splits: Splits[Images], seconds: float, seed: int) -> tuple[dict[str, float], np.ndarray]:
    """Figures of our VAE after `seconds` of training, and its samples; fitting the latents' mixture counts."""
    began = time.monotonic()
    with progress_bar("ours") as bar:
        steps: list[int] = []
        model = VAE.fit(
            splits,
            Config(),
            Run(seed=seed, minutes=0.9 * seconds / 60, callbacks=(bar, lambda e: steps.append(e.step))),
        )
    spent = time.monotonic() - began
    made = model.sample(SAMPLES, seed=seed)
    assert splits.test is not None
    figures = {"neg_elbo_nats": model.score(splits.test)["neg_elbo_nats"], "seconds": spent, "steps": float(steps[-1])}
    return figures | {"label_accuracy": _accuracy(splits, made)}, made["images"]


def pythae_vae(
    splits: Splits[Images], seconds: float, seed: int, rate: float, batch: int
) -> tuple[dict[str, float], np.ndarray]:
    """The same of pythae's VAE."""
    from pythae.models import VAE as Theirs
    from pythae.models import VAEConfig
    from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST

    torch.manual_seed(seed)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce")
    model = Theirs(config, encoder=Encoder_Conv_VAE_MNIST(config), decoder=Decoder_Conv_AE_MNIST(config))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    order, step, began = shuffled(len(splits.train), batch, seed), 0, time.monotonic()
    while time.monotonic() - began < seconds:
        loss = model({"data": _intensities(splits.train.pixels[order(step)])}).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
    spent = time.monotonic() - began
    model.eval()
    assert splits.test is not None
    pixels, total, images = splits.test.pixels, 0.0, []
    torch.manual_seed(seed)
    with torch.no_grad():
        for start in range(0, len(pixels), 500):
            total += float(model({"data": _intensities(pixels[start : start + 500])}).loss) * len(
                pixels[start : start + 500]
            )
        for _ in range(SAMPLES // 500):
            means = model.decoder(torch.randn(500, 16)).reconstruction
            images.append((255 * means[:, 0]).round().byte().numpy())
    return {"neg_elbo_nats": total / len(pixels), "seconds": spent, "steps": float(step)}, np.concatenate(images)


def _intensities(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels)[:, None].float() / 255


def _judge(splits: Splits[Images]) -> Classifier:
    return judge_of(splits.train, splits.source.name, splits.source.sha256)


def _accuracy(splits: Splits[Images], made: dict[str, Any]) -> float:
    return _judge(splits).accuracy(made["images"], made["labels"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Our VAE against pythae's at an equal wall-clock budget.")
    parser.add_argument("--seconds", type=float, default=180.0, help="wall-clock budget of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pythae", type=Path, help="folder that pythae was installed to with pip's --target")
    parser.add_argument("--pythae-lr", type=float, default=1e-3, help="learning rate of its Adam")
    parser.add_argument("--pythae-batch", type=int, default=128, help="pictures a step")
    options = parser.parse_args()
    if options.pythae:
        sys.path.append(str(options.pythae))
    try:
        import pythae.models  # noqa: F401
    except ImportError as error:
        print(
            f"pythae is not here ({error}); get it with:\n"
            "    pip install --no-deps --target /tmp/pythae pythae cloudpickle scipy\n"
            "and run: python tests/bench/images.py --pythae /tmp/pythae",
            file=sys.stderr,
        )
        return 2
    splits = load("fashion-mnist")
    judge = _judge(splits)
    assert splits.test is not None
    real = judge.features(splits.test.pixels)
    print(
        f"classifier: {judge.accuracy(splits.test.pixels, splits.test.labels):.2%} of the test pictures",
        file=sys.stderr,
    )
    results = {
        "ours": ours(splits, options.seconds, options.seed),
        "pythae": pythae_vae(splits, options.seconds, options.seed, options.pythae_lr, options.pythae_batch),
    }
    table = {
        who: figures | {"frechet_distance": frechet_distance(judge.features(images), real)}
        for who, (figures, images) in results.items()
    }
    threads = torch.get_num_threads()
    print(
        f"\nFashion-MNIST, {options.seconds:.0f} s each, {threads} threads; {SAMPLES:,} samples, 10,000 test pictures\n"
    )
    print("| metric | ours | pythae | target | seed |\n|---|---|---|---|---|")
    for metric in ("neg_elbo_nats", "frechet_distance", "label_accuracy", "steps", "seconds"):
        cells = [f"{table[who][metric]:.4g}" if metric in table[who] else "no labels" for who in ("ours", "pythae")]
        print(f"| {metric} | {' | '.join(cells)} | {TARGETS.get(metric, '-')} | {options.seed} |")
    won = all(table["ours"][metric] < table["pythae"][metric] for metric in ("neg_elbo_nats", "frechet_distance"))
    return 0 if won else 1


if __name__ == "__main__":
    sys.exit(main())
