"""How networks are stored: what rounding does to them, and that it is done once only."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from generators.core.arrays import net_arrays, restore_net


def test_matrices_of_bytes_come_back_within_half_a_step_and_then_stay():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(40, 30), nn.LayerNorm(30), nn.Embedding(5, 30))
    with torch.no_grad():
        net[0].weight[3] = 0
        net[0].weight[4] *= 1e-3
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    arrays = net_arrays(net, small=True)
    assert arrays["net.0.weight"].dtype == np.int8 and arrays["scale.0.weight"].shape == (30,)
    assert arrays["net.0.bias"].dtype == np.float16 and "scale.0.bias" not in arrays
    restore_net(net, arrays)
    for name, tensor in net.state_dict().items():
        if tensor.ndim == 2:
            step = before[name].abs().amax(1, keepdim=True) / 127
            assert ((tensor - before[name]).abs() <= 0.52 * step + 1e-6).all()
    again = net_arrays(net, small=True)
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)


def test_half_precision_is_the_rule():
    net = nn.Linear(4, 3)
    arrays = net_arrays(net)
    assert all(array.dtype == np.float16 for array in arrays.values())
    restore_net(net, arrays)
    assert torch.equal(net.weight, torch.from_numpy(arrays["net.weight"]).float()) and not net.weight.requires_grad
