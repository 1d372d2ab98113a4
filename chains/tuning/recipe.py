r"""The LoRA recipe: teaches the embedded LLM to call tools, in one command that fits two CPU cores.

    python -m chains.tuning make --count 20            # look at examples
    python -m chains.tuning train --minutes 80 --lr 0.0005 --seed 17 --start chains/tuning/adapter --out NEW
    python -m chains.tuning average chains/tuning/adapter NEW --out MEAN
    python tests/bench/abilities.py --dev --requests > code.jsonl
    python -m chains.tuning calibrate --requests tests/bench/dev{,_more,_unserved}.jsonl code.jsonl \
        --handicap 0.4 --adapter MEAN
    cp MEAN/* chains/tuning/adapter

LoRA of rank 32 on every linear layer of a frozen bf16 base (Hu et al. 2021), AdamW, warm-up and linear decay to the
budget, one pack of some 20 requests a step (`chains.tuning.packing`), examples that never repeat
(`chains.tuning.maker`). A checkpoint in `OUT/checkpoint` lets `--resume` go on from the same step.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RANK, ALPHA = 32, 64
RUN = ("recipe", "step", "examples", "tokens", "minutes", "mean_of")  # what a note says of a run
DEV_SEED = 20_001  # the dev set is the same whatever the training's seed, not whatever the phrases and the pack's size


@dataclass(frozen=True)
class Recipe:
    """All that a run depends on besides the code."""

    seed: int = 0
    minutes: float = 45.0  # wall-clock budget of training, all sittings together; used unless steps is set
    steps: int = 0  # step budget; 0: by the clock
    learning_rate: float = 1e-3
    warmup: float = 0.03  # share of the budget
    clip: float = 1.0  # gradient norm
    pack_tokens: int = 2000  # longest training sequence
    checkpoint_minutes: float = 2.0
    start: str = ""  # folder of the adapter whose weights this one starts from; empty: from none
    dev_groups: int = 8


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    step: int = 0
    seconds: float = 0.0
    examples: int = 0
    tokens: int = 0


class Trainer:
    """One training run in `out`; `base` is a folder with a transformers model and its tokenizer."""

    def __init__(self, base: Path, out: Path, recipe: Recipe) -> None:
        import torch
        from accelerate import Accelerator
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from chains.tuning.packing import use_lean_lora, use_packed_attention
        from chains.weights import quiet

        self.base, self.out, self.recipe = base, out, recipe
        self.progress = Progress()
        self.earlier: list[dict[str, Any]] = []  # runs whose weights this one goes on from, first to last
        self.accelerator = Accelerator()
        torch.manual_seed(recipe.seed)  # LoRA's A matrices; nothing else here draws from torch
        with quiet():
            self.tokenizer = AutoTokenizer.from_pretrained(base)
            model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
        use_packed_attention(model)
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
        self.model = get_peft_model(model, config).to(self.accelerator.device)
        use_lean_lora(self.model)
        self.trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(
            self.trained.values(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0
        )

    def train(self) -> dict[str, Any]:
        """Trains to the budget, saves the adapter and returns the dev figures."""
        import torch

        from chains.tuning.maker import Maker
        from chains.tuning.packing import make_pack, pack_loss

        maker = Maker(self.recipe.seed)
        saved = started = time.monotonic()
        before = self.progress.seconds
        loss_mean = 0.0
        while (share := self._share()) < 1.0:
            group = maker.group(self.progress.step)
            pack = make_pack(self.tokenizer, group, self.recipe.pack_tokens).to(self.accelerator.device)
            rate = self.recipe.learning_rate * min(
                1.0, (share + 1e-3) / self.recipe.warmup, (1.0 - share) / (1.0 - self.recipe.warmup)
            )
            for settings in self.optimizer.param_groups:
                settings["lr"] = rate
            loss = pack_loss(self.model, pack)
            self.accelerator.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.trained.values(), self.recipe.clip)
            self.optimizer.step()
            self.optimizer.zero_grad()

            value = loss.item()
            loss_mean = value if loss_mean == 0.0 else 0.95 * loss_mean + 0.05 * value
            done = self.progress
            done.step += 1
            done.examples += len(pack.examples)
            done.tokens += pack.ids.shape[1]
            now = time.monotonic()
            done.seconds = before + now - started
            print(
                f"\rstep {done.step}  {100 * self._share():.1f} %  loss {loss_mean:.4f}  {done.examples} examples  "
                f"{done.tokens / done.seconds:.0f} tokens/s  {done.seconds / 60:.1f} min ",
                end="" if done.step % 10 else "\n",
                file=sys.stderr,
                flush=True,
            )
            if now - saved > 60 * self.recipe.checkpoint_minutes:
                self.save_checkpoint()
                saved = time.monotonic()
        print(file=sys.stderr)
        self.save_checkpoint()
        figures = self.dev()
        self.save_adapter(figures)
        return figures

    def _share(self) -> float:
        """How much of the budget is used, 0 to 1."""
        if self.recipe.steps:
            return self.progress.step / self.recipe.steps
        return self.progress.seconds / (60 * self.recipe.minutes)

    def dev(self) -> dict[str, Any]:
        """Share of dev examples, from frames that no training example uses, whose every target token is likeliest.

        `decision` counts the first token alone: a tool's or `no tool`'s. Teacher-forced, so a little kinder than use.
        """
        import torch

        from chains.tuning.maker import Maker
        from chains.tuning.packing import make_pack, right_answers, target_logits

        right: dict[str, list[bool]] = {}
        first: list[bool] = []
        with torch.inference_mode():
            for index in range(self.recipe.dev_groups):
                group = Maker(DEV_SEED, "dev").group(index)
                pack = make_pack(self.tokenizer, group, 2 * self.recipe.pack_tokens).to(self.accelerator.device)
                exact, decided = right_answers(target_logits(self.model, pack), pack)
                first += decided
                for example, good in zip(pack.examples, exact, strict=True):
                    right.setdefault(example.kind, []).append(good)
        every = [good for kind in right.values() for good in kind]
        kinds = {
            kind: {"exact": round(sum(good) / len(good), 4), "n": len(good)} for kind, good in sorted(right.items())
        }
        return {
            "exact": round(sum(every) / len(every), 4),
            "decision": round(sum(first) / len(first), 4),
            "n": len(every),
            "kinds": kinds,
        }

    def save_checkpoint(self) -> None:
        """Weights, optimiser and progress; each file is replaced whole, the progress last."""
        from safetensors.torch import save_file

        folder = self.out / "checkpoint"
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"weight.{name}": p.detach().cpu().contiguous() for name, p in self.trained.items()}
        for name, p in self.trained.items():
            for key, value in self.optimizer.state.get(p, {}).items():
                tensors[f"{key}.{name}"] = value.detach().cpu().contiguous()
        save_file(
            tensors,
            folder / "state.new",
            metadata={
                "progress": json.dumps(asdict(self.progress)),
                "recipe": json.dumps(asdict(self.recipe)),
                "earlier": json.dumps(self.earlier),
            },
        )
        os.replace(folder / "state.new", folder / "state.safetensors")

    def load_checkpoint(self) -> None:
        """Goes on from `OUT/checkpoint`. Raises ValueError if there is none that fits."""
        import torch
        from safetensors import safe_open

        file = self.out / "checkpoint" / "state.safetensors"
        if not file.is_file():
            raise ValueError(f"there is no checkpoint in {file.parent}; leave --resume out to start anew")
        with safe_open(file, "pt") as stored, torch.no_grad():
            recipe = json.loads(stored.metadata()["recipe"])
            for key in ("seed", "pack_tokens"):
                if recipe[key] != getattr(self.recipe, key):
                    raise ValueError(
                        f"the checkpoint was made with {key}={recipe[key]}, not {getattr(self.recipe, key)}; "
                        "use that or another --out"
                    )
            self.progress = Progress(**json.loads(stored.metadata()["progress"]))
            self.earlier = json.loads(stored.metadata().get("earlier", "[]"))
            kept = set(stored.keys())
            for name, p in self.trained.items():
                p.copy_(stored.get_tensor(f"weight.{name}"))
                keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}.{name}" in kept]
                if keys:
                    self.optimizer.state[p] = {
                        key: stored.get_tensor(f"{key}.{name}").to(p.device if key != "step" else "cpu") for key in keys
                    }

    def load_weights(self, adapter: Path) -> None:
        """Starts from the weights of another run, a folder with its adapter; one of smaller rank is filled up with
        products that are zero. Raises ValueError if there is none that fits.
        """
        from safetensors.torch import load_file

        from chains.weights import ADAPTER_FILE, SOURCE_FILE

        file = adapter / ADAPTER_FILE
        if not file.is_file():
            raise ValueError(f"there is no adapter in {adapter}; name the folder that a run was given as --out")
        self.set_weights(load_file(file), str(adapter))
        if (adapter / SOURCE_FILE).is_file():
            note = json.loads((adapter / SOURCE_FILE).read_text())
            self.earlier = [*note.get("earlier", []), {key: note[key] for key in RUN if key in note}]

    def set_weights(self, tensors: dict[str, Any], whose: str) -> None:
        """Takes over an adapter's tensors; those of smaller rank are filled up with products that are zero.
        Raises ValueError, which calls them `whose`, if they do not fit.
        """
        import torch

        weights = {name.replace(".default.", "."): p for name, p in self.trained.items()}
        narrow = {name: p[tuple(map(slice, tensors[name].shape))] for name, p in weights.items() if name in tensors}
        if tensors.keys() != weights.keys() or any(narrow[name].shape != t.shape for name, t in tensors.items()):
            raise ValueError(
                f"{whose} is no adapter of rank {RANK} or less for this base; leave --start out to begin anew"
            )
        with torch.no_grad():
            for key, p in narrow.items():
                p.copy_(tensors[key])  # what is left of `lora_B` is zero

    def save_adapter(self, figures: dict[str, Any], mean_of: Sequence[dict[str, Any]] = ()) -> None:
        """The adapter in peft's format (bf16), what it was made from and with, and its card; `mean_of` tells of the
        runs whose mean it is.
        """
        from importlib.metadata import version

        import torch
        from safetensors.torch import save_file

        from chains.tuning.card import card
        from chains.weights import ADAPTER_FILE, SOURCE_FILE, base_sha256

        self.out.mkdir(parents=True, exist_ok=True)
        tensors = {
            name.replace(".default.", "."): p.detach().to("cpu", torch.bfloat16).contiguous()
            for name, p in self.trained.items()
        }
        save_file(tensors, self.out / ADAPTER_FILE, metadata={"format": "pt"})
        config = {
            "r": RANK,
            "lora_alpha": ALPHA,
            "lora_dropout": 0.0,
            "bias": "none",
            "task_type": "CAUSAL_LM",
            "peft_type": "LORA",
            "peft_version": version("peft"),
            "target_modules": sorted({name.split(".lora_")[0].rsplit(".", 1)[-1] for name in tensors}),
            "base_model_name_or_path": "SmolLM2-135M-Instruct",
            "inference_mode": True,
        }
        (self.out / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
        note = {
            "base_sha256": base_sha256(self.base),
            "teaches": ["calls", "replies", "citing"],  # the last two: chains/tuning/answers.py and citing.py
            "recipe": asdict(self.recipe),
            **{key: value for key, value in asdict(self.progress).items() if key != "seconds"},
            "minutes": round(self.progress.seconds / 60, 1),
            **({"earlier": self.earlier} if self.earlier else {}),
            **({"mean_of": mean_of} if mean_of else {}),
            "dev": figures,
        }
        (self.out / SOURCE_FILE).write_text(json.dumps(note, indent=2) + "\n")
        (self.out / "README.md").write_text(card(note, RANK, ALPHA))
