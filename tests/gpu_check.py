"""`make gpu-check`: train, sample and route on the GPU, with only what the repository ships; or say there is none."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    """Run the check; returns the exit code."""
    import torch

    if not torch.cuda.is_available():
        driver = shutil.which("nvidia-smi")
        more = (
            " There is an NVIDIA driver, but this torch is a CPU build: remove .venv and run make setup."
            if driver
            else ""
        )
        print(f"gpu-check: no GPU here (torch {torch.__version__}), nothing was checked.{more}")
        return 1 if driver else 0
    print(f"gpu-check: {torch.cuda.get_device_name()}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        _train_and_sample(Path(folder))
    began = time.perf_counter()
    from chains.agent import route

    answer = route("draw two sneakers")
    calls = [(call["name"], call["args"]) for call in answer["calls"]]
    print(f"gpu-check: routed to {calls} in {time.perf_counter() - began:.1f} s")
    if [name for name, _ in calls] != ["generate_image"]:
        print("gpu-check: FAILED, the request should lead to one call of generate_image", file=sys.stderr)
        return 1
    print(f"gpu-check: passed, {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB of the GPU's memory used at most")
    return 0


def _train_and_sample(folder: Path) -> None:
    """Train a VAE and a GAN on pictures that the shipped VAE draws, then draw from the new ones."""
    from PIL import Image

    import generators
    from chains.training import Training, train

    drawn = generators.load("vae-fashion").sample(400)
    for index, (pixels, label) in enumerate(zip(drawn["images"], drawn["labels"], strict=True)):
        place = folder / "pictures" / f"kind-{label}" / f"{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
    for family in ("vae", "cgan"):
        began = time.perf_counter()
        asked = Training(family, str(folder / "pictures"), name="gpu-check", steps=200, out=folder / family)
        made = generators.load(train(asked))
        print(f"gpu-check: {family}, 200 steps, data and saving included, in {time.perf_counter() - began:.1f} s")
        samples = made.sample(8)["images"]
        print(f"gpu-check: sampled {samples.shape}, mean {samples.mean():.0f} of 255")


if __name__ == "__main__":
    sys.exit(main())
