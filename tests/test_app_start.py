"""What keeps the app from starting is one sentence."""

from __future__ import annotations

import pytest
from scripted import Script, a_script, an_address  # noqa: F401

import ui


def test_an_open_host_needs_a_password() -> None:
    with pytest.raises(ValueError, match="ARTWRIGHT_AUTH"):
        ui.launch(host="0.0.0.0", wait=False)


def test_a_taken_port_is_one_sentence(address: str) -> None:
    port = int(address.rsplit(":", 1)[1])
    with pytest.raises(ValueError, match=f"Port {port}"):
        ui.launch(port=port, llm=Script(), wait=False)


def test_a_wrong_llm_is_said_before_the_app_starts() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        ui.launch(port=0, llm="nonsense", wait=False)
