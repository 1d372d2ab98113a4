"""A model of code: exact scores of functions, drafts that are parsed and never run, prompts in words, the tool."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import generators
from chains import catalog, commands, tools
from chains.tools import check, perform
from generators.codegpt import TRIES, CodeGPT, Config
from generators.core.coding import beginning, draft, is_code, parsing_lines
from generators.core.errors import Cancelled, RequestError
from generators.core.generator import Cancel, Partial, Request, rng
from generators.core.training import Run
from generators.core.vocabulary import Characters
from generators.data.splits import Source, Splits, Texts
from generators.nanochat import export, load_exported

sys.path.insert(0, str(Path(__file__).parent / "bench"))

import functions

NAMES = ("area", "size", "mean", "root", "half", "rate")
FUNCTIONS = tuple(
    f"def {name}({x}):\n    y = {x} {sign} {i}\n    return y"
    for name in NAMES
    for x in "abc"
    for i, sign in enumerate("+-*")
)


@pytest.fixture(scope="module")
def model() -> CodeGPT:
    config = Config(layers=2, width=32, heads=2, context=48, batch=16)
    texts = Texts(FUNCTIONS)
    made = CodeGPT.fit(Splits(texts, texts, source=Source("own")), config, Run(steps=250))
    made.info.name = "gpt-code"
    return made


def test_it_goes_on_from_a_trained_one(model, tmp_path: Path):
    base = CodeGPT.from_pretrained(model.save_pretrained(tmp_path / "base"))
    other = Texts(tuple(function.replace("y = ", "k = ").replace("return y", "return k") for function in FUNCTIONS))
    tuned = base.refit(Splits(other, other, source=Source("other")), base.refit_config(), Run(steps=60))
    assert tuned.score(other)["nats_per_char"] < base.score(other)["nats_per_char"] - 0.1
    assert "k" in tuned.vocabulary.tokens and "k" not in base.vocabulary.tokens
    assert ast.parse(made(tuned, prompt="def area(a):", temperature=0.0)[0])


def made(model: CodeGPT, seed: int = 1, cancel: Cancel | None = None, **args) -> tuple[str, list[str]]:
    """The code, and the notices before it."""
    parts = list(model.draw(Request("write_code", args), seed=seed, cancel=cancel or Cancel()))
    return parts[-1], [part.message for part in parts[:-1] if isinstance(part, Partial) and not part.total]


def test_it_learns_and_its_score_is_the_sum_over_every_character(model):
    text = FUNCTIONS[5]
    symbols = [len(model.vocabulary), *model.vocabulary.encode(text).tolist(), model.vocabulary.symbols[model.end]]
    predictor = model.predictor
    total = 0.0
    for i in range(1, len(symbols)):
        p = predictor.distribution(predictor.context(symbols[:i]))
        total -= np.log(p[symbols[i]])
    assert len(symbols) - 1 <= model.reach
    figures = model.score(Texts((text,)))
    assert figures["n"] == len(text) + 1 and figures["nats_per_char"] == pytest.approx(total / figures["n"], abs=1e-5)
    assert model.score(Texts(FUNCTIONS))["nats_per_char"] < 1.0


def test_pieces_begin_where_functions_do_or_anywhere(model):
    texts = Texts(tuple(f"{text}  # {'long ' * (i % 30)}" for i, text in enumerate(FUNCTIONS)))
    pieces, start = model.batches(texts, np.zeros(0), 0)(3), len(model.vocabulary)
    assert pieces.shape == (16, 49) and (pieces[::2, 0] == start).all() and not (pieces[1::2, 0] == start).all()
    assert torch.equal(pieces, model.batches(texts, np.zeros(0), 0)(3))


def test_the_prompt_stays_and_what_is_written_parses(model):
    for seed in range(5):
        code, notices = made(model, seed, prompt="def area(a):")
        assert code.startswith("def area(a):\n") and ast.parse(code)
        assert not [notice for notice in notices if "word for word" not in notice]
    assert made(model, prompt="def area(a):") == made(model, prompt="def area(a):")
    indented, _ = made(model, prompt="    def area(a):")
    assert indented.splitlines()[0] == "    def area(a):" and indented.splitlines()[1].startswith("        ")


def test_words_name_the_function(model):
    code, notices = made(model, prompt="mean of a")
    assert code.startswith("def mean_of_a(")
    assert notices[0] == "The prompt is no Python, so gpt-code began with `def mean_of_a(`."
    code, notices = made(model)
    assert code.startswith("def ") and notices[0] == "There is no prompt, so gpt-code began with `def`."


@pytest.mark.parametrize(
    ("prompt", "begun"),
    [
        ("reverse a string", "def reverse_a_string("),
        ("Write a function that adds two numbers", "def write_a_function_that_adds_two("),
        ("3 sum", "def _3_sum("),
        ("import", "def import_("),
        ("?!", "def "),
    ],
)
def test_heads_from_words(prompt, begun):
    assert beginning(prompt).text == begun and not beginning(prompt).given


def test_what_is_code():
    for code in ("def", "async def f(", "@cached", "# adds\ndef f(a, b):", "class A:", "x = 1", "for i in range(3):"):
        assert is_code(code) and beginning(code).text == code
    for words in ("area", "a list of names:", "cats and dogs", "class of animals", "import data", "area (of it)", ""):
        assert not is_code(words)


def test_a_copy_of_the_data_is_told(model):
    code, notices = made(model, temperature=0.0, prompt="\n".join(FUNCTIONS[0].split("\n")[:2]) + "\n    return")
    assert code in FUNCTIONS and notices == ["It stands in own, word for word."]


class Recites:
    """A predictor that says one text again and again, whose last symbol ends it."""

    def __init__(self, symbols: list[int], size: int) -> None:
        self.symbols, self.size = symbols, size

    def distribution(self, context: int, longest: int | None = None) -> np.ndarray:
        return np.eye(self.size)[self.symbols[context % len(self.symbols)]]

    def extend(self, context: int, symbol: int) -> int:
        return context + 1


@pytest.mark.parametrize(
    ("said", "lines", "text", "parses", "cut"),
    [
        ("\n    return a\3", 20, "def f(a):\n    return a", True, False),
        ("\n    return (\3", 20, "def f(a):\n    return (", False, False),  # the model's own end stays
        ("\n    b = a\n    if b:\n        c = (1,\n 2)\3", 3, "def f(a):\n    b = a", True, True),
        ("\n    if a:\n        b = 1\3", 2, "def f(a):\n    if a:", False, True),
        ("\n    b = 1\n", 1, "def f(a):\n    b = 1", True, True),  # a line more than the prompt at least
    ],
)
def test_a_draft_ends_by_itself_or_with_the_last_whole_statement(said, lines, text, parses, cut):
    vocabulary = Characters(["", *sorted(set(said + "\3"))])
    said_by = Recites(vocabulary.encode(said).tolist(), len(vocabulary))
    got = draft(said_by, vocabulary, vocabulary.symbols["\3"], 0, "def f(a):", lines, 0.8, rng(1), Cancel())
    assert (got.text, got.parses, got.cut) == (text, parses, cut)


def test_when_no_draft_parses_the_best_one_comes_with_a_notice(model):
    code, notices = made(model, prompt="def area(a):\n    y = = a")
    assert code.startswith("def area(a):\n    y = = a") and notices[-1].startswith(f"None of {TRIES} drafts parses")
    assert made(model, prompt="def area(a):\n    y = = a", temperature=0.0)[1][-1].startswith("The draft parses")
    assert parsing_lines("x = 1\ny = (\nz = 2") == 1 and parsing_lines("(") == 0


def test_nothing_is_run(model, tmp_path: Path):
    target = tmp_path / "made"
    code, _ = made(model, prompt=f"import pathlib\npathlib.Path({str(target)!r}).touch()\ndef area(a):")
    assert "touch" in code and not target.exists()


def test_bounds_and_stopping(model):
    for bad in ({"lines": 0}, {"lines": 201}, {"temperature": 3.0}):
        with pytest.raises(RequestError):
            made(model, prompt="def area(a):", **bad)
    cancel = Cancel()
    parts = model.draw(Request("write_code", {"prompt": "def é(a):"}), seed=1, cancel=cancel)
    assert "does not know the characters é" in next(parts).message
    cancel.set()
    with pytest.raises(Cancelled):
        list(parts)


def test_saved_exported_and_sampled(model, tmp_path: Path):
    again = CodeGPT.from_pretrained(model.save_pretrained(tmp_path / "m"))
    assert made(again, prompt="def area(a):") == made(model, prompt="def area(a):")
    assert again.score(Texts(FUNCTIONS[:9])) == model.score(Texts(FUNCTIONS[:9]))
    texts = model.sample(3, seed=2)["texts"]
    assert len(texts) == 3 and all(texts) and texts[0] == model.sample(1, seed=2)["texts"][0]
    export(model, tmp_path / "out")
    back = load_exported(tmp_path / "out")
    assert isinstance(back, CodeGPT) and made(back, prompt="def area(a):")[0] == made(model, prompt="def area(a):")[0]


@pytest.fixture
def only_ours(home: Path, monkeypatch) -> Path:
    """A home without the models that ship."""
    monkeypatch.setattr(generators, "PRETRAINED", home / "none")
    return home


def test_the_tool_is_there_once_a_model_is(model, only_ours):
    assert "write_code" not in {spec["name"] for spec in catalog.tool_specs()}
    model.save_pretrained(only_ours / "models" / "gpt-code")
    assert "write_code" in tools()
    call = {"name": "write_code", "args": {"prompt": "def area(a):", "seed": 3}, "id": "1", "type": "tool_call"}
    message = tools()["write_code"].invoke(call)
    assert "lines of Python with gpt-code, seed 3" in message.content
    (reference,) = message.artifact
    assert reference["media_type"] == "text/x-python" and reference["path"].endswith(".py")
    assert perform("write_code", check("write_code", {"prompt": "def area(a):", "lines": 4})).artifacts


def test_the_bench_tells_how_much_parses(model, only_ours, monkeypatch, capsys):
    assert functions.head("@d\ndef f(a,\n      b):\n    # why\n\n    return a") == "@d\ndef f(a,\n      b):"
    monkeypatch.setattr(functions, "load_all", lambda source: Texts(FUNCTIONS))
    monkeypatch.setattr("sys.argv", ["functions.py", "--heads", "4"])
    assert functions.main() == 0 and "gpt-code is not here" in capsys.readouterr().err
    model.save_pretrained(only_ours / "models" / "gpt-code")
    assert functions.main() == 0
    assert "| parses within 8 drafts | 100.0% | 80% |" in capsys.readouterr().out


def test_trained_scored_and_made_again_by_command(tmp_path: Path, monkeypatch, home, capsys):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text("\n\n\n".join(FUNCTIONS))
    options = ("layers=1", "width=16", "heads=2", "context=32", "batch=4")
    commands.train(commands.Training("codegpt", "own.py", name="gpt-mine", steps=5, settings=options))
    commands.score("gpt-mine", "own.py", as_json=False)
    assert "nats_per_char" in capsys.readouterr().out
    commands.generate("write_code", '{"prompt": "def area(a):", "lines": 3, "seed": 1}', Path("made"), as_json=False)
    assert Path("made/write_code-1.py").read_text().startswith("def area(a):")
    assert commands.regenerate(Path("made/write_code-1.py")) == 0
