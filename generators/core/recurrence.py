"""The inner life of PyTorch's recurrent layers, which give away only their last state: one step after the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Parts = dict[str, Tensor]  # each (T, W)


def unrolled(layer: nn.RNNBase, x: Tensor) -> tuple[Parts, Parts]:
    """Gates and states of a one-layer nn.RNN, nn.GRU or nn.LSTM on x (T, W), from zeros; equations as PyTorch has them.

    LSTM: gates `input`, `forget`, `output`, states `cell`, `hidden`. GRU: gates `reset`, `update` (how much of the
    state before is kept), state `hidden`. Plain: state `hidden` alone.
    """
    weights = dict(layer.named_parameters())
    given = x @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]  # (T, n W)
    hidden = cell = x.new_zeros(layer.hidden_size)
    gates: list[Parts] = []
    states: list[Parts] = []
    for new in given:
        old = weights["weight_hh_l0"] @ hidden + weights["bias_hh_l0"]
        if isinstance(layer, nn.LSTM):
            i, f, candidate, o = (new + old).chunk(4)
            gates.append({"input": i.sigmoid(), "forget": f.sigmoid(), "output": o.sigmoid()})
            cell = gates[-1]["forget"] * cell + gates[-1]["input"] * candidate.tanh()
            hidden = gates[-1]["output"] * cell.tanh()
            states.append({"cell": cell, "hidden": hidden})
        elif isinstance(layer, nn.GRU):
            (new_r, new_z, new_n), (old_r, old_z, old_n) = new.chunk(3), old.chunk(3)
            gates.append({"reset": (new_r + old_r).sigmoid(), "update": (new_z + old_z).sigmoid()})
            candidate = (new_n + gates[-1]["reset"] * old_n).tanh()
            hidden = (1 - gates[-1]["update"]) * candidate + gates[-1]["update"] * hidden
            states.append({"hidden": hidden})
        else:
            hidden = (new + old).tanh()
            states.append({"hidden": hidden})
    return stacked(gates), stacked(states)


def stacked(parts: list[Parts]) -> Parts:
    """Tensors of the same names, put together along a new first dimension."""
    return {name: torch.stack([part[name] for part in parts]) for name in (parts[0] if parts else ())}
