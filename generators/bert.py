"""A bidirectional transformer of words that fills blanks (Devlin et al. 2019): a masked language model.

Of the words of a piece, 15 % are to be guessed: of those, 80 % are hidden, 10 % replaced by others, 10 % left as they
are. Its blocks are those of the GPT here, without the arrow of time. `[MASK]` is one word, `___` one or a few: for each
number of words the likeliest are filled in, surest first, and the number is taken with which these words and their
neighbours are likeliest, each guessed from all others (pseudo-likelihood: Salazar et al. 2020).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from generators.core.arrays import as_stored, net_arrays, restore_net
from generators.core.bounds import check_options
from generators.core.errors import CheckpointError, DataError, RequestError
from generators.core.generator import Cancel, Generator, ModelInfo, Partial, Request, Splits, Texts, torch_rng
from generators.core.inside import Inside, best, one_line
from generators.core.kneser_ney import UNKNOWN, Ints
from generators.core.layers import Block, attention_of, norm, rotary_tables
from generators.core.optim import muon_and_adam
from generators.core.symbols import stored
from generators.core.training import Run, share, train
from generators.core.vocabulary import Words

if TYPE_CHECKING:
    from accelerate import Accelerator

GUESSED, HIDDEN, REPLACED = 0.15, 0.8, 0.1
CAP = 15.0  # of a logit
BLANK = re.compile(r"\[MASK\]|_{3,}|(?<!\w)_+(?!\w)", re.IGNORECASE)
SPACES = re.compile(r"\s+")
MOST_WORDS = 3  # that a blank is tried with
ALTERNATIVES = 5
LONGER = 1.5  # nats by which one word more in a blank must be likelier
NEIGHBOURS = 3  # on each side of a blank, by which its number of words is judged
SWEEPS = 3  # through the filled blanks at most
SHORTEST = 4  # words of the shortest pieces that are trained on
PASSES = 7  # of a score: in each, every seventh word is hidden
VALIDATION = 4096  # held-out words that choose between the checkpoints of a run


@dataclass
class Config:
    """Options of a BERT."""

    layers: int = 3  # blocks, 1 to 48
    width: int = 128  # numbers that stand for a word, a multiple of twice the heads, 8 to 2048
    heads: int = 4  # heads of attention a block, 1 to 64
    context: int = 64  # words that it sees, 8 to 1024
    batch: int = 64  # pieces of `context` words a step, over all processes, 1 to 4096
    words: int = 16_000  # different words that it knows at most, 100 to 200000
    dropout: float = 0.05  # share of each half block's output that is left out in training, 0 to 0.9
    learning_rate: float = 2e-2  # of Adam at its peak, above 0 to 1
    matrix_rate: float = 2e-2  # of Muon at its peak, above 0 to 1

    def __post_init__(self) -> None:
        bounds = {"layers": (1, 48), "width": (8, 2048), "heads": (1, 64), "context": (8, 1024), "batch": (1, 4096)}
        more = {"words": (100, 200_000), "dropout": (0, 0.9)}
        check_options(self, {**bounds, **more}, "learning_rate", "matrix_rate")
        if self.width % (2 * self.heads):
            raise ValueError(f"width is {self.width}; it must be a multiple of twice the heads, {2 * self.heads}.")


class Net(nn.Module):
    """Symbols (B, T), the mask's number after those of the words -> logits (B, T, size) of what stands there."""

    def __init__(self, config: Config, size: int) -> None:
        super().__init__()
        self.symbols = nn.Embedding(size + 1, config.width)
        nn.init.normal_(self.symbols.weight, std=0.1)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.dropout, causal=False) for _ in range(config.layers)
        )
        self.last = nn.Linear(config.width, config.width, bias=False)
        self.bias = nn.Parameter(torch.zeros(size))
        self.tables: Tensor
        self.register_buffer("tables", rotary_tables(config.context, config.width // config.heads), persistent=False)

    def embedded(self, symbols: Tensor) -> Tensor:
        """(B, T, w), normed; an unknown word looks like a hidden one."""
        return norm(self.symbols(symbols.masked_fill(symbols == UNKNOWN, len(self.bias))))

    def forward(self, symbols: Tensor, wanted: Tensor | None = None) -> Tensor:
        """`wanted` (B, T) bool: the places whose logits are wanted, (N, size), in place of all."""
        x = self.dropout(self.embedded(symbols))
        for block in self.blocks:
            x, _ = block(x, self.tables[:, : symbols.size(1)])
        x = norm(x)
        x = self.last(x if wanted is None else x[wanted])
        logits = x @ self.symbols.weight[: len(self.bias)].T + self.bias
        return CAP * torch.tanh(logits.float() / CAP)


class BERT(Generator):
    """A masked language model of words; see the module's docstring."""

    family = "bert"
    kinds = frozenset({"neural", "transformer"})
    medium = "text"
    tasks = frozenset({"fill_blanks"})
    Config = Config

    def __init__(self, info: ModelInfo, vocabulary: Words) -> None:
        self.info, self.vocabulary = info, vocabulary
        self.config = Config(**info.config)
        self.net = Net(self.config, len(vocabulary))
        self.mask = len(vocabulary)

    @classmethod
    def fit(cls, splits: Splits[Texts], config: Any, run: Run) -> Self:
        """Train on `splits.train`; see `Generator.fit`. Raises `DataError` for less than two words."""
        if splits.train.blank:
            raise DataError(f"{splits.source.name} holds no text to learn from; give a file with some.")
        vocabulary = Words.of(splits.train.pieces(), most=config.words)
        encoded = vocabulary.encode_all(splits.train.pieces())
        symbols, _ = stored(encoded, len(vocabulary), run.cancel.check)
        if len(symbols) < 2:
            raise DataError(
                f"{splits.source.name} holds one word, which is too little to learn from; give a longer text."
            )
        info = ModelInfo.of(cls, splits, config, seed=run.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)  # torch's initialisers know only the global generator
            model = cls(info, vocabulary)
        info.parameters = sum(tensor.numel() for tensor in model.net.parameters())
        length, batch = min(config.context, len(symbols)), config.batch

        def pieces(step: int) -> Tensor:
            random = np.random.default_rng([run.seed, step])
            short = int(random.integers(min(SHORTEST, length), length + 1))  # people ask with a sentence, not a page
            size = short if step % 2 else length
            starts = random.integers(0, len(symbols) - size + 1, batch)[share(batch)]
            return torch.from_numpy(symbols[starts[:, None] + np.arange(size)].astype(np.int64))

        held_out, _ = stored(vocabulary.encode_all(splits.val.pieces()), len(vocabulary), run.cancel.check)
        stepper = _Stepper(model, held_out[:VALIDATION], run.seed)
        identity = {**asdict(config), "data_sha256": splits.source.sha256, "words": len(symbols)}
        model.trained = train(stepper, pieces, run, identity=identity)
        as_stored(model.net, small=True)
        return model

    def score(self, split: Texts) -> dict[str, float]:
        """`masked_nats_per_word` and the shares whose word is the first and among the first five guesses, and `n`.

        Every word is guessed once, with every seventh word around it hidden too, in pieces of `context` words and
        what is left; words that the model does not know count as missed, at the price of an equal guess.
        """
        symbols, _ = stored(self.vocabulary.encode_all(split.pieces()), len(self.vocabulary))
        if not len(symbols):
            raise DataError("There is no text to score; give a file with some.")
        return self.masked(symbols)

    @torch.inference_mode()
    def masked(self, symbols: NDArray[Any]) -> dict[str, float]:
        """`score` of symbols (N,)."""
        nats, first, five = 0.0, 0, 0
        for _, said, logits in self._hidden(symbols):
            nats += float(self._nats(logits, said).sum())
            guesses = logits[:, 1:].topk(min(5, logits.size(1) - 1)).indices + 1
            first += int((guesses[:, 0] == said).sum())
            five += int((guesses == said[:, None]).any(1).sum())
        n = len(symbols)
        return {"masked_nats_per_word": nats / n, "top_1": first / n, "top_5": five / n, "n": float(n)}

    def _hidden(self, symbols: NDArray[Any]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Every word of symbols (N,) once, some at a time: their places, the words, and the logits (M, size) of what
        stands in these places where they are hidden.
        """
        context, device, at = self.config.context, next(self.net.parameters()).device, 0
        whole = len(symbols) // context * context
        for stop in [*range(64 * context, whole, 64 * context), whole, len(symbols)]:
            part = torch.from_numpy(symbols[at:stop].astype(np.int64)).to(device)
            pieces = part.view(-1, min(context, max(len(part), 1)))
            turns = torch.arange(len(part), device=part.device) % PASSES
            for turn in range(min(PASSES, len(part))):
                places = (turns == turn).nonzero()[:, 0]
                hidden = (turns == turn).view_as(pieces)
                yield at + places, part[places], self.net(pieces.masked_fill(hidden, self.mask), hidden)
            at += len(part)

    def _nats(self, logits: Tensor, said: Tensor) -> Tensor:
        """Nats (M,) in double precision of words (M,) under logits (M, size)."""
        losses = functional.cross_entropy(logits[:, 1:], (said - 1).clamp_min(0), reduction="none").double()
        return torch.where(said != UNKNOWN, losses, float(np.log(len(self.vocabulary))))

    @torch.inference_mode()
    def look_inside(self, text: str) -> Inside:
        """See `Generator.look_inside`. The surprise is that of hidden words, the attention that of the whole line."""
        text = one_line(text, self.info.name)
        symbols, tokens = self.vocabulary.encode(text), self.vocabulary.split(text)
        if len(symbols) > self.config.context:
            seen = f"{self.info.name} sees {self.config.context} at once"
            raise RequestError(f"The line has {len(symbols)} words and {seen}; give a shorter one.")
        nats, p = np.zeros(len(symbols)), np.zeros((len(symbols), len(self.vocabulary)))
        for places, said, logits in self._hidden(symbols):
            nats[places] = self._nats(logits, said)
            p[places, 1:] = logits[:, 1:].double().softmax(-1)
        x = self.net.embedded(torch.from_numpy(symbols)[None])
        return Inside(
            model=self.info.name,
            family=self.family,
            unit=self.vocabulary.unit,
            tokens=tokens,
            read=tokens,
            nats=nats,
            guesses=best(p, self.vocabulary.tokens),
            attention=attention_of(self.net.blocks, x, self.net.tables[:, : len(symbols)]).numpy(),
        )

    def draw(self, request: Request, *, seed: int, cancel: Cancel) -> Iterator[str | Partial]:
        """The text with its blanks filled, the likeliest words first; a notice says what else might stand there."""
        text = str(request.args.get("text") or "").strip()
        blanks = list(BLANK.finditer(text))
        if not blanks:
            raise RequestError("There is no blank in the text; write [MASK] or ___ where a word is missing.")
        if len(blanks) > 16:
            raise RequestError(f"There are {len(blanks)} blanks; at most 16 can be filled at once.")
        ends = [0, *(blank.end() for blank in blanks)]
        parts = [text[end : blank.start()] for end, blank in zip(ends, blanks, strict=False)] + [text[ends[-1] :]]
        unknown = list(dict.fromkeys(word for part in parts for word in self._read(part)[1]))
        if unknown:
            yield Partial(f"{self.info.name} does not know the words {', '.join(unknown)}; it reads past them.")
        most = [1 if blank.group().startswith("[") else MOST_WORDS for blank in blanks]
        filled, told = self._filled(parts, most, cancel)
        for alternatives in told:
            yield Partial(f"For the blank: {alternatives}.")
        yield filled

    def _filled(self, parts: list[str], most: list[int], cancel: Cancel) -> tuple[str, list[str]]:
        """The text with words in the blanks between `parts`, and for each blank what else might stand there.

        most: how many words each blank has at most.
        """
        spaced, known = [part[-1:].isspace() for part in parts[:-1]], [self._read(part)[0] for part in parts]
        lengths = [1] * len(spaced)
        for blank in (i for i, many in enumerate(most) if many > 1):
            trials = []
            for length in range(1, most[blank] + 1):
                lengths[blank] = length
                symbols, places = self._line(known, lengths)
                symbols = self._likeliest(symbols, places[blank], self._gaps(places, spaced), cancel)
                trials.append(self._likely(symbols, places[blank]) - LONGER * length)
            lengths[blank] = 1 + int(np.argmax(trials))
        symbols, places = self._line(known, lengths)
        gaps, hidden = self._gaps(places, spaced), [place for spots in places for place in spots]
        symbols = self._likeliest(symbols, hidden, gaps, cancel)
        for _ in range(SWEEPS):  # each word anew, now that the other blanks are filled
            before = list(symbols)
            for place in hidden:
                cancel.check()
                symbols[place] = int(self._guesses(symbols, [place], gaps)[0].argmax())
            if symbols == before:
                break
        words = [self.vocabulary.decode(symbols[place] for place in spots).removeprefix(" ") for spots in places]
        text = "".join(part + word for part, word in zip(parts, [*words, ""], strict=True))
        return text, [self._told(symbols, spots, gaps) for spots in places]

    def _read(self, part: str) -> tuple[list[int], list[str]]:
        """The symbols of a part of the text, read as one line, and its unknown words, each once."""
        return self.vocabulary.understand(SPACES.sub(" ", part).removesuffix(" "))

    def _line(self, known: list[list[int]], lengths: list[int]) -> tuple[list[int], list[list[int]]]:
        """The symbols with the blanks hidden, and the places of each blank."""
        symbols, places = list(known[0]), []
        for part, length in zip(known[1:], lengths, strict=True):
            places.append(list(range(len(symbols), len(symbols) + length)))
            symbols += [self.mask] * length + part
        return symbols, places

    @staticmethod
    def _gaps(places: list[list[int]], spaced: list[bool]) -> dict[int, bool]:
        """Whether a space comes before each place of the blanks: before all but perhaps a blank's first."""
        return {place: gap or i > 0 for spots, gap in zip(places, spaced, strict=True) for i, place in enumerate(spots)}

    @torch.inference_mode()
    def _logits(self, symbols: list[int], places: list[int]) -> Tensor:
        """(N, size): what may stand at each of `places`, that one hidden and seen from a window's middle."""
        length = min(len(symbols), self.config.context)
        begins = [max(0, min(place - length // 2, len(symbols) - length)) for place in places]
        pieces = torch.tensor([symbols[begin : begin + length] for begin in begins])
        wanted = functional.one_hot(torch.tensor(places) - torch.tensor(begins), length).bool()
        return self.net(pieces.masked_fill(wanted, self.mask), wanted).double()

    def _guesses(self, symbols: list[int], places: list[int], gaps: dict[int, bool]) -> Tensor:
        """Log probabilities (N, size) of the words that may stand at `places`."""
        allowed = torch.stack([self.spaced if gaps[place] else self.unspaced for place in places])
        return self._logits(symbols, places).masked_fill(~allowed, -torch.inf).log_softmax(-1)

    def _likeliest(self, symbols: list[int], places: list[int], gaps: dict[int, bool], cancel: Cancel) -> list[int]:
        """The symbols with the likeliest words at `places`, surest first."""
        symbols, left = list(symbols), list(places)
        while left:
            cancel.check()
            best, word = self._guesses(symbols, left, gaps).max(1)
            at = int(best.argmax())
            symbols[left.pop(at)] = int(word[at])
        return symbols

    def _likely(self, symbols: list[int], places: list[int]) -> float:
        """The log probability of the words at `places` and around them, each guessed from the others."""
        around = range(max(0, places[0] - NEIGHBOURS), min(len(symbols), places[-1] + 1 + NEIGHBOURS))
        there = [place for place in around if symbols[place] not in (UNKNOWN, self.mask)]
        logp = self._logits(symbols, there)[:, 1:].log_softmax(-1)
        return float(logp[range(len(there)), [symbols[place] - 1 for place in there]].sum())

    def _told(self, symbols: list[int], places: list[int], gaps: dict[int, bool]) -> str:
        """The word that fills a blank and the likeliest others with their probabilities; of a longer one its words."""
        guesses = self._guesses(symbols, places, gaps)
        if len(places) > 1:
            said = [symbols[place] for place in places]
            share = float(guesses[range(len(places)), said].mean().exp())
            return f"{self.vocabulary.decode(said).strip()} ({share:.0%} a word)"
        p, said = guesses[0].exp(), symbols[places[0]]
        others = [word for word in p.topk(min(ALTERNATIVES, len(p))).indices.tolist() if word != said]
        shown = [said, *(word for word in others if p[word] > 0)][:ALTERNATIVES]
        return ", ".join(f"{self.vocabulary.tokens[word].strip()} {p[word]:.0%}" for word in shown)

    @cached_property
    def spaced(self) -> Tensor:
        """Which symbols may fill a blank after a space, (size,) bool: words that have it, else all that show."""
        return self._those(lambda token: token[:1] == " " and token[1:2].isalnum())

    @cached_property
    def unspaced(self) -> Tensor:
        """Which symbols may fill a blank after none, (size,) bool: words without it, else all that show."""
        return self._those(lambda token: token[:1].isalnum())

    def _those(self, fits: Callable[[str], bool]) -> Tensor:
        """Which tokens fit, (size,) bool; where none does, all that show."""
        those = torch.tensor([fits(token) for token in self.vocabulary.tokens])
        return those if those.any() else torch.tensor([bool(token.strip()) for token in self.vocabulary.tokens])

    def state(self) -> dict[str, NDArray[Any]]:
        """The weights and the words."""
        return {**self.vocabulary.state(), **net_arrays(self.net, small=True)}

    @classmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        """The model back. Raises `CheckpointError` where the arrays do not fit."""
        try:
            model = cls(info, Words.from_state(state))
            restore_net(model.net, state)
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            raise CheckpointError(f"The weights of {info.name} do not fit its config.json; train it again.") from error
        return model

    def card_notes(self) -> str:
        c = self.config
        return (
            f"A bidirectional transformer of {len(self.vocabulary) - 1:,} words: {c.layers} blocks, {c.width} wide, "
            f"{c.heads} heads, which sees {c.context} words. Every held-out word was guessed once, with every seventh "
            f"word around it hidden too; words that it does not know count as missed."
        )


class _Stepper:
    """A BERT's side of the training loop."""

    def __init__(self, model: BERT, val: Ints, seed: int) -> None:
        self.model, self.val, self.seed = model, val, seed
        self.modules: dict[str, nn.Module] = {"net": model.net}
        self.optimizers = muon_and_adam(
            model.net,
            nn.ModuleList([*model.net.blocks, model.net.last]),
            model.config.matrix_rate,
            model.config.learning_rate,
            betas=(0.9, 0.98),
        )

    def step(self, batch: Tensor, i: int, accelerator: Accelerator) -> dict[str, float]:
        config, size = self.model.config, len(self.model.vocabulary)
        mine, random = share(config.batch), torch_rng(self.seed, i)
        luck = torch.rand(config.batch, batch.size(1), generator=random)[mine]
        other = torch.randint(1, size, (config.batch, batch.size(1)), generator=random)[mine]
        guessed = (luck < GUESSED) & (batch != UNKNOWN)
        if not guessed.any():
            guessed[0, 0] = True
        shown = batch.masked_fill(luck < GUESSED * HIDDEN, self.model.mask)
        shown = torch.where((luck >= GUESSED * HIDDEN) & (luck < GUESSED * (HIDDEN + REPLACED)), other, shown)
        shown, guessed, batch = (tensor.to(accelerator.device) for tensor in (shown, guessed, batch))
        loss = functional.cross_entropy(self.modules["net"](shown, guessed), batch[guessed])
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        accelerator.backward(loss)
        norm_ = accelerator.clip_grad_norm_(self.modules["net"].parameters(), 1.0)
        for optimizer in self.optimizers.values():
            optimizer.step()
        return {"masked_nats_per_word": loss.item(), "gradient_norm": float(norm_ or 0)}

    def validate(self) -> dict[str, float]:
        self.model.net.eval()  # no dropout
        figures = {"masked_nats_per_word": self.model.masked(self.val)["masked_nats_per_word"]}
        self.model.net.train()
        return figures
