"""Plain talk is never the person's own words given back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from chains.chat_model import ChatArtwright
from chains.engine import Outcome, Sampler
from chains.prose import Citable, prose

END = ""
WORDS = [
    END,
    "thanks",
    "Thanks",
    ",",
    " you",
    " are",
    " quick",
    " Glad",
    " to",
    " help",
    "!",
    " {",
    "quick",
    "you",
    "}",
]


class Scripted:
    """A session that prefers some continuations to others: the words of the first that fits what is written."""

    def __init__(self, *texts: str) -> None:
        self._wishes = [[WORDS.index(word) for word in text.split("|")] + [0] for text in texts]
        self.tokens: list[int] = []

    def __len__(self) -> int:
        return len(self.tokens)

    def push(self, tokens: list[int]) -> None:
        self.tokens += tokens

    def rewind(self, count: int) -> None:
        del self.tokens[len(self.tokens) - count :]

    def keep(self) -> None: ...

    def logits(self, last: int = 1) -> torch.Tensor:
        rows = torch.full((last, len(WORDS)), -50.0)
        for row, end in zip(rows, range(len(self.tokens) - last + 1, len(self.tokens) + 1), strict=True):
            for i, wish in enumerate(self._wishes):
                if len(wish) > end and wish[:end] == self.tokens[:end]:
                    row[wish[end]] = max(float(row[wish[end]]), 9.0 - i)
        return rows


ENGINE: Any = SimpleNamespace(
    special=[0],
    context=99,
    vocabulary=SimpleNamespace(opening=[WORDS.index(" {")], braces=[WORDS.index(" {"), WORDS.index("}")]),
    tokenizer=SimpleNamespace(
        decode=lambda ids: "".join(WORDS[i] for i in ids),
        encode=lambda text, **_: [WORDS.index(text.removesuffix("}")), WORDS.index("}")],
    ),
)


def said(heard: str | None, *texts: str, limit: int = 20) -> list[str]:
    session: Any = Scripted(*texts)
    return list(prose(ENGINE, session, Sampler(), limit, (), Outcome(), heard=heard))


PARROT, POLITE, GLAD = "thanks|,| you| are| quick", "Thanks|,| you| are| quick|!", " Glad| to| help"


def test_an_echo_is_begun_anew() -> None:
    assert "".join(said("thanks, you are quick", PARROT, POLITE, GLAD)) == "Glad to help"


def test_an_answer_that_only_begins_so_stands_and_streams() -> None:
    pieces = said("thanks, you", PARROT)
    assert pieces == ["thanks, you are", " quick"]  # held back while it could still be an echo


def test_an_echo_is_no_first_sentence_unless_it_is_short() -> None:
    assert "".join(said("thanks, you are quick", f"{POLITE}| Glad", GLAD)) == "Glad to help"
    assert "".join(said("thanks, you are", "Thanks|,| you| are|!| Glad", GLAD)) == "Thanks, you are! Glad"


def test_text_that_nobody_heard_may_be_anything() -> None:
    assert said(None, PARROT) == ["thanks", ",", " you", " are", " quick"]


def test_a_cut_echo_is_shown() -> None:
    assert "".join(said("thanks, you are quick", PARROT, limit=2)) == "thanks,"


NAMED = " Glad| to| {|quick|}| help"


def replied(text: str, *names: str, braces: bool = False) -> str:
    session: Any = Scripted(text, " Glad| to| help")
    citable = Citable(names, braces)
    return "".join(prose(ENGINE, session, Sampler(), 20, (), Outcome(), copies=True, citable=citable))


def test_the_name_of_a_value_is_not_shown() -> None:
    assert replied(NAMED, "quick", "you") == "Glad to help"


def test_only_names_of_the_result_stand_in_braces() -> None:
    for names in ((), ("thanks", "you")):
        assert replied(NAMED, *names, braces=True) == "Glad to {quick} help"
        assert replied(NAMED, *names) == "Glad to help"  # where the result has none, the reply has none


@pytest.mark.parametrize("remark", ["thanks, you are quick", "wow, nice one", "Good night and sleep well", "thx!"])
def test_the_embedded_llm_answers_remarks_in_its_own_words(remark: str) -> None:
    answer = str(ChatArtwright(max_tokens=24).invoke(remark).text)
    assert answer.strip(" .!").lower() != remark.strip(" .!").lower()
    assert len(answer) > 3
