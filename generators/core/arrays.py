"""What the arrays of a checkpoint hold besides numbers: parts of a model under a prefix each, and lists of texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn


def under(prefix: str, state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def packed(texts: list[str]) -> NDArray[np.uint8]:
    """Texts as the bytes of one JSON array: (N,)."""
    return np.frombuffer(json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogatepass"), np.uint8)


def unpacked(array: NDArray[Any]) -> list[str]:
    """The texts back from `packed`. Raises ValueError for other bytes."""
    return [str(text) for text in json.loads(array.tobytes().decode("utf-8", "surrogatepass"))]


def net_arrays(net: nn.Module, small: bool = False) -> dict[str, NDArray[Any]]:
    """A network's tensors under `net.`, in half precision.

    small: its matrices one byte a number, times a scale a row (under `scale.`): half the size again.
    """
    found = {}
    for name, tensor in net.state_dict().items():
        if small and tensor.ndim == 2:
            scale = (tensor.abs().amax(1) / 127).clamp_min(1e-8)
            found[f"scale.{name}"] = scale.cpu().numpy()
            rounded = (tensor / scale[:, None]).round().clamp(-127, 127)
            found[f"net.{name}"] = rounded.to("cpu").char().numpy()
        else:
            found[f"net.{name}"] = tensor.half().cpu().numpy()
    return found


def restore_net(net: nn.Module, state: Mapping[str, NDArray[Any]]) -> None:
    """Give a network the tensors of `net_arrays` back, ready to use. Raises RuntimeError where they do not fit."""
    import torch

    tensors = {name: torch.from_numpy(array).float() for name, array in under("net.", state).items()}
    for name, scale in under("scale.", state).items():
        tensors[name] *= torch.from_numpy(scale).float()[:, None]
    net.load_state_dict(tensors, assign=True)
    net.eval().requires_grad_(False)


def as_stored(net: nn.Module, small: bool = False) -> None:
    """Round a network as `net_arrays` does, so that it does the same before and after it is saved."""
    restore_net(net, net_arrays(net, small))
