"""What a person is told of long work: a bar or a sign of life in the terminal, and a run's figures for TensorBoard."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from generators.core.training import Callback, Event, spelled_figures


class progress_bar:
    """A callback that draws a progress bar with the latest figures on stderr; use it as a context manager."""

    def __init__(self, title: str = "training", shown: bool = True) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[figures]}"))
        self._bar = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True, quiet=not shown))
        self._task = self._bar.add_task(title, total=1.0, figures="")
        self._title = title
        self._val = ""

    def __enter__(self) -> progress_bar:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def tell(self, message: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def __call__(self, event: Event) -> None:
        if event.kind == "val" and event.figures:
            self._val = f", held out {next(iter(event.figures.values())):.4g}"
        elif event.kind == "step":
            losses = [name for name in event.figures if name.endswith("_loss")] or list(event.figures)[:1]
            norms = [name for name in event.figures if name.endswith("_gradient")]
            shown = spelled_figures({name: event.figures[name] for name in [*losses, *norms]})
            self._bar.update(self._task, completed=event.progress, figures=f"step {event.step:,}: {shown}{self._val}")
        elif event.message:
            self.tell(event.message)


@contextmanager
def busy(message: str) -> Iterator[None]:
    """A sign of life on the terminal during work of unknown length."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(message):
        yield


def tensorboard(folder: str | Path) -> Callback:
    """A callback that writes figures and samples for TensorBoard. Raises ValueError where it is not installed."""
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        raise ValueError("TensorBoard is not installed; install it with: pip install tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def write(event: Event) -> None:
        for name, value in event.figures.items():
            writer.add_scalar(f"{event.kind}/{name}", value, event.step)
        if event.images is not None:
            images = event.images[..., None] if event.images.ndim == 3 else event.images
            writer.add_images("samples", images, event.step, dataformats="NHWC")
        writer.flush()

    return write
