"""Which model a spec names, and where the embedded one's weights come from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chains.chat_model import chat_model
from chains.engine import load_engine
from chains.weights import base_sha256, embedded_base, quiet


@pytest.mark.parametrize("spec", ["nonsense", "/no/such/folder", "provider:", "nobody:nothing"])
def test_a_bad_spec_is_one_clear_error(spec: str) -> None:
    with pytest.raises(ValueError, match=r"use|cannot be used|needs"):
        chat_model(spec)


def test_a_hub_id_that_cannot_be_fetched() -> None:
    with pytest.raises(ValueError, match="cannot fetch the model"):
        chat_model("nobody/nothing-at-all").invoke("hi")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="causal language model"):
        chat_model(str(tmp_path)).invoke("hi")


def test_the_environment_names_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARTWRIGHT_LLM", str(tmp_path))
    assert chat_model().model == str(tmp_path)  # type: ignore[attr-defined]
    monkeypatch.delenv("ARTWRIGHT_LLM")
    assert chat_model().model == "embedded"  # type: ignore[attr-defined]


def test_the_embedded_base_is_converted_once() -> None:
    folder = embedded_base()
    assert (folder / "model.safetensors").is_file() and base_sha256(folder)[:12] in folder.name
    before = os.stat(folder / "model.safetensors").st_mtime_ns
    assert embedded_base() == folder and os.stat(folder / "model.safetensors").st_mtime_ns == before
    assert load_engine(folder, None, "float32", "cpu") is load_engine(folder, None, "float32", "cpu")


def test_converting_shows_no_progress_bars(capfd: pytest.CaptureFixture[str]) -> None:
    from transformers import modeling_gguf_pytorch_utils as gguf

    bar = gguf.tqdm
    with quiet():
        assert list(gguf.tqdm([1, 2], desc="Converting")) == [1, 2]
    assert gguf.tqdm is bar and capfd.readouterr() == ("", "")
