"""Recurrent language models of characters or byte pairs.

They are plain (Elman 1990), GRU (Cho et al. 2014) and LSTM (Hochreiter 1997).

Trained by truncated back-propagation: every row of a batch is a place in the text that moves on step by step, and what
the network remembers there is carried from step to step. Regularised as AWD-LSTM is (Merity et al. 2018): the same
dropout mask at every position of a row, dropped recurrent weights, the embedding as the last layer too. Layers are
normed between and added to what they read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from generators.core.bounds import check_options
from generators.core.bpe import check_size
from generators.core.language_model import LanguageModel, LanguageStepper
from generators.core.layers import norm
from generators.core.optim import muon_and_adam
from generators.core.recurrence import stacked, unrolled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accelerate import Accelerator

    from generators.core.kneser_ney import Ints
    from generators.data.splits import Texts

CELLS: dict[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
CAP = 15.0  # of a logit


@dataclass
class Config:
    """Options of a recurrent model."""

    layers: int = 2  # 1 to 16
    width: int = 256  # numbers that stand for a symbol, and units a layer, 8 to 4096
    context: int = 128  # symbols a step that gradients go back through, 8 to 4096
    batch: int = 32  # places in the text that are read at once, over all processes, 1 to 4096
    tokens: int = 0  # different ones of byte-pair encoding at most, 256 to 32000; 0: characters
    dropout: float = 0.0  # share of a layer's outputs that is left out in training, 0 to 0.9
    weight_dropout: float = 0.0  # share of the recurrent weights that is left out in training, 0 to 0.9
    learning_rate: float = 3e-3  # of Adam at its peak, above 0 to 1
    matrix_rate: float = 2e-2  # of Muon at its peak, above 0 to 1
    lora: int = 0  # rank of the matrices' updates when it goes on from a model, 0 for full ones, to 256

    clip: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float, float]] = {
            "layers": (1, 16),
            "width": (8, 4096),
            "context": (8, 4096),
            "batch": (1, 4096),
        }
        bounds |= {"dropout": (0, 0.9), "weight_dropout": (0, 0.9), "lora": (0, 256)}
        check_options(self, bounds, "learning_rate", "matrix_rate")
        check_size(self.tokens)


class Net(nn.Module):
    """Symbols (B, T) -> logits (B, T, symbols), and each layer's last state."""

    def __init__(self, cell: str, config: Config, symbols: int) -> None:
        super().__init__()
        self.dropout, self.weight_dropout = config.dropout, config.weight_dropout
        self.symbols = nn.Embedding(symbols, config.width)
        nn.init.normal_(self.symbols.weight, std=0.1)
        self.layers = nn.ModuleList(
            CELLS[cell](config.width, config.width, batch_first=True) for _ in range(config.layers)
        )
        for layer in self.layers:
            if isinstance(layer, nn.LSTM):  # at first it forgets little (Jozefowicz et al. 2015)
                nn.init.ones_(layer.bias_hh_l0[config.width : 2 * config.width])
        self.bias = nn.Parameter(torch.zeros(symbols))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, symbols: Tensor, carried: list[Any] | None = None) -> tuple[Tensor, list[Any]]:
        """`carried`: each layer's state after what stands before."""
        x = self._locked(norm(self.symbols(symbols)))
        states = []
        for i, layer in enumerate(self.layers):
            made, state = self._through(layer, norm(x), None if carried is None else carried[i])
            x = x + self._locked(made)
            states.append(state)
        logits = (self.scale * norm(x)) @ self.symbols.weight.T + self.bias
        return CAP * torch.tanh(logits.float() / CAP), states

    def _through(self, layer: nn.RNNBase, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """What a layer makes of x (B, T, width) after `state` (None: the first), and its last state."""
        if self.weight_dropout and self.training:
            weights = {
                name: nn.functional.dropout(weight, self.weight_dropout) if name.startswith("weight_hh") else weight
                for name, weight in layer.named_parameters()
            }
            made: tuple[Tensor, Any] = functional_call(layer, weights, (x, state))
            return made
        return step(layer, x, state) if state is not None and x.size(1) == 1 else layer(x, state)

    def _locked(self, x: Tensor) -> Tensor:
        """Dropout with one mask for all positions of a row (Gal & Ghahramani 2016)."""
        if not (self.training and self.dropout):
            return x
        kept = torch.rand(x.size(0), 1, x.size(2), device=x.device) >= self.dropout
        return x * kept / (1 - self.dropout)


def step(layer: nn.RNNBase, x: Tensor, state: Any) -> tuple[Tensor, Any]:
    """What `layer` makes of one position (B, 1, width) after `state`, and its last state.

    The layer makes the same of it, but is built for many positions: on a CPU an LSTM takes eight times as long.
    """
    weights = layer.all_weights[0]
    if isinstance(layer, nn.LSTM):
        hidden, cell = torch.lstm_cell(x[:, 0], [part[0] for part in state], *weights)
        return hidden[:, None], (hidden[None], cell[None])
    cells = torch.gru_cell if isinstance(layer, nn.GRU) else torch.rnn_tanh_cell
    hidden = cells(x[:, 0], state[0], *weights)
    return hidden[:, None], hidden[None]


class RNN(LanguageModel):
    """A plain recurrent network; see the module's docstring."""

    family = "rnn"
    Config = Config
    refit_options: ClassVar[Mapping[str, Any]] = {**LanguageModel.refit_options, "weight_dropout": None}
    inside = "layers"
    tables = ("symbols.weight", "bias")
    net: Net

    def build(self, symbols: int) -> Net:
        return Net(self.family, self.config, symbols)

    @property
    def reach(self) -> int:
        return 0

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return muon_and_adam(
            self.net, self.net.layers, self.config.matrix_rate, self.config.learning_rate, betas=(0.9, 0.99)
        )

    def stepper(self, val: Texts) -> LanguageStepper:
        return LanguageStepper(self, val) if self.items else Streams(self, val)

    def places(self, total: int, length: int, seed: int) -> Callable[[int], Ints]:
        """Pieces follow each other from step to step, at places spread evenly over the text."""
        batch = self.config.batch
        first = (np.arange(batch) * total // batch)[:, None] + np.arange(length + 1)
        return lambda step: (first + step * length) % total

    def workings(self, read: Tensor) -> dict[str, Any]:
        """The gates and states of each layer."""
        x, gates, states = norm(self.net.symbols(read)), [], []
        for layer in self.net.layers:
            opened, held = unrolled(layer, norm(x))
            x = x + held["hidden"]
            gates.append(opened)
            states.append(held)
        found = {"gates": stacked(gates), "states": stacked(states)}
        return {name: {key: part.numpy() for key, part in parts.items()} for name, parts in found.items()}

    def card_notes(self) -> str:
        c, unit = self.config, self.vocabulary.unit
        return (
            f"A recurrent network ({self.family}) of {unit}s: {c.layers} layers of {c.width} units. `nats_per_char` "
            f"is exact over the whole text, every {unit} predicted from all before it.{self.vocabulary.notes}"
        )


class GRU(RNN):
    """A network of gated recurrent units."""

    family = "gru"


class LSTM(RNN):
    """A network of long short-term memory."""

    family = "lstm"


class Streams(LanguageStepper):
    """A step that goes on from what the network carried out of the step before, also where a run is resumed.

    With several processes each carries its own rows of the batch; resumed, they carry nothing at first.
    """

    carried: list[Any] | None = None

    def read(self, symbols: Tensor, accelerator: Accelerator) -> Tensor:
        logits, carried = self.modules["net"](symbols, self.carried)
        self.carried = [_cut(state) for state in carried]
        return logits

    def memory(self) -> dict[str, Tensor]:
        """Each layer's state, (1, B, width) as `0/0` and, of an LSTM, its second one as `0/1`."""
        states = [state if isinstance(state, tuple) else (state,) for state in self.carried or []]
        return {f"{i}/{j}": part for i, state in enumerate(states) for j, part in enumerate(state)}

    def remember(self, memory: dict[str, Tensor]) -> None:
        """Go on from what `memory` gave."""
        layers = range(self.model.config.layers)
        self.carried = [
            (memory[f"{i}/0"], memory[f"{i}/1"]) if f"{i}/1" in memory else memory[f"{i}/0"] for i in layers
        ]


def _cut(state: Any) -> Any:
    """A layer's state, or an LSTM's two, without the gradients' way back."""
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
