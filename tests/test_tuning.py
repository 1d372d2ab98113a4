"""The data maker says what it means, packing changes no loss, and training learns and resumes."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

from chains.prompting import Turn, encode, tool_prompt
from chains.schemas import TASKS, describe
from chains.tuning import grammar
from chains.tuning.invented import invented_tools
from chains.tuning.maker import SHARES, Example, Group, Maker


@cache
def a_group(index: int, split: str) -> Group:
    return Maker(7, split).group(index)


def some_examples(groups: int, split: str = "train") -> list[tuple[Group, Example]]:
    made = (a_group(index, split) for index in range(groups))
    return [(group, example) for group in made for example in group.examples]


def test_calls_are_valid_against_the_list_in_the_prompt() -> None:
    import jsonschema

    for group, example in some_examples(60):
        schemas = {tool["name"]: tool["parameters"] for tool in group.tools}
        made = [call for turn in example.turns for call in turn.calls]
        if any(turn.role == "tool" and "cannot take that" in turn.text for turn in example.turns):
            made = []  # the call that the tool refused
        for name, args in (*example.calls, *made):
            jsonschema.validate(args, {**schemas[name], "additionalProperties": False})
            assert list(args) == [known for known in schemas[name]["properties"] if known in args]


def test_copied_arguments_stand_in_the_conversation() -> None:
    copied = {"prompt", "melody", "text", "starts_with"}
    checked = 0
    for group, example in some_examples(100):
        if {tool["name"] for tool in group.tools} <= set(TASKS) and example.kind == "tool":
            for _, args in example.calls:
                for name in copied & set(args):
                    assert args[name] in example.turns[-1].text
                    checked += 1
    assert checked > 20


def test_same_seed_same_groups_and_no_marks_left() -> None:
    assert Maker(3).group(5) == Maker(3).group(5)
    assert Maker(3).group(5) != Maker(4).group(5)
    known = {*TASKS, *invented_tools(), *(name for table in grammar.disguises().values() for name in table["names"])}
    for group, example in some_examples(20):
        text = "".join(turn.text for turn in example.turns if turn.role == "user")
        everything = "".join(turn.text for turn in example.turns) + example.reply
        assert everything == grammar.plain(everything)
        if {tool["name"] for tool in group.tools} <= known:  # what is said to composed tools may be code
            assert "{" not in text.replace("{'", "") and "* " not in text


def test_dev_frames_never_train() -> None:
    lines = grammar.sections("talk.txt")[""]
    share = sum(map(grammar.reserved, lines)) / len(lines)
    assert 0.05 < share < 0.15
    said = {example.turns[-1].text.lower() for _, example in some_examples(60) if example.kind == "talk"}
    plain_frames = {line.lower() for line in lines if grammar.reserved(line) and not set("[{") & set(line)}
    assert plain_frames and not plain_frames & said


def test_every_kind_and_every_tool_comes_up() -> None:
    made = some_examples(500)
    assert {example.kind for _, example in made} == set(SHARES)
    called = {name for _, example in made for name, _ in example.calls}
    assert set(TASKS) <= called and len(set(invented_tools()) - called) < 50
    silent = sum(not example.calls for _, example in made) / len(made)
    assert 0.25 < silent < 0.45


def test_default_list_is_the_app_s_own() -> None:
    from chains.catalog import tool_specs
    from chains.tuning.toollists import default_tools

    assert [tool.shown for tool in default_tools()] == tool_specs()


def writer(seed: int = 0, split: str = "train") -> Any:
    from chains.tuning.toollists import default_tools
    from chains.tuning.writer import Writer

    return Writer(default_tools(), Random(seed), split)


def test_several_tasks_are_distinct_calls_and_sharers_share() -> None:
    from chains.tuning.several import several

    made = [several(writer(seed)) for seed in range(800)]
    many = [example for example in made if len(example.calls) > 1]
    assert 0.75 < len(many) / len(made) < 0.95 and {2, 3} == {len(example.calls) for example in many}
    for example in many:
        assert all(call not in example.calls[:i] for i, call in enumerate(example.calls))
        text = example.turns[-1].text.lower()
        if "both with seed" in text or "seed for both" in text:
            assert len({args["seed"] for _, args in example.calls}) == 1
    assert any(" and " in e.turns[-1].text.lower() for e in made if len(e.calls) == 1)


def test_tasks_come_in_the_order_of_execution() -> None:
    from chains.tuning.several import several

    checked = 0
    for seed in range(3000):
        example = several(writer(seed))
        text = grammar.plain(example.turns[-1].text).lower()
        if "but first" in text and len(example.calls) == 2:
            (name, args), (after, _) = example.calls
            checked += 1
            if {name, after} == {"generate_image", "invent_names"}:
                late = text.split("but first")[1]
                assert ("name" in late) == (name == "invent_names"), (text, args)
    assert checked


def test_a_change_keeps_what_it_does_not_name() -> None:
    from chains.tuning.changes import change, kinds_of_change

    tool = writer().tools[0]
    before = {"subject": "bag", "count": 4, "seed": 3}
    kinds = kinds_of_change(tool, before, 3)
    assert {"double count", "fix_count", "all_kept"} <= set(kinds) and "change_things" not in kinds
    made = {kind: [change(tool, kind, before, Random(i), "train", 3)[1] for i in range(20)] for kind in kinds}
    assert all(args == {"subject": "bag", "count": 8, "seed": 3} for args in made["double count"])
    assert all(args == {"subject": "bag", "count": 4} for args in made["again"])
    assert all(args["count"] == 4 and args["seed"] == 3 and args["subject"] != "bag" for args in made["change_subject"])
    assert all("seed" not in args and args["subject"] == "bag" for args in made["more_n"])
    morph = {"start": "bag", "end": "coat", "frames": 9}
    assert change(writer().tools[1], "swap", morph, Random(0), "train")[1] == {**morph, "start": "coat", "end": "bag"}
    assert change(writer().tools[1], "chain", morph, Random(0), "train")[1]["start"] == "coat"


def test_after_results_the_rest_is_called_or_nothing() -> None:
    from chains.tuning.followups import after

    left = [after(writer(seed)) for seed in range(400)]
    for example in left:
        done = sum(turn.role == "tool" for turn in example.turns)
        asked = sum(len(turn.calls) for turn in example.turns)
        assert done == asked >= 1
    repaired = [e for e in left if "cannot take that" in e.turns[-1].text]
    assert repaired and all(len(e.calls) == 1 and e.calls[0] not in e.turns[1].calls for e in repaired)
    assert {0, 1} <= {len(example.calls) for example in left}


def test_numbers_in_words() -> None:
    rng = Random(0)
    said = {value: {grammar.spelled(value, rng) for _ in range(40)} for value in (0, 14, 24, 40, 100, 120, 305, 1000)}
    assert said[0] == {"zero"} and said[14] == {"fourteen"} and said[40] == {"forty"}
    assert said[24] == {"twenty-four", "twenty four"}
    assert said[100] == {"a hundred", "one hundred"} and "a hundred and twenty" in said[120]
    assert said[305] == {"three hundred and five", "three hundred five"}
    assert said[1000] == {"a thousand", "one thousand"}


def test_every_frame_expands() -> None:
    from chains.tuning.invented import InventedRequest
    from chains.tuning.requests import Request

    rng = Random(0)
    for task in TASKS:
        for _ in range(300):
            request = Request(task, describe(task), {"subject": ["sneaker"], "kind": ["surname"]}, rng, "train")
            request.make()
            assert request.text and set(request.args) <= set(TASKS[task].model_fields)
            TASKS[task].model_validate(request.args)
    for name, tool in invented_tools().items():
        for _ in range(30):
            invented = InventedRequest(name, tool.schema(), {}, rng, "train")
            invented.make()
            assert all(arg.name in invented.args for arg in tool.args if arg.required)


@pytest.mark.parametrize(
    ("word", "many"), [("sneaker", "sneakers"), ("dress", "dresses"), ("trousers", "trousers"), ("puppy", "puppies")]
)
def test_plurals(word: str, many: str) -> None:
    assert grammar.plural(word) == many


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random llama of two layers with a byte-level tokenizer that knows ChatML."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", additional_special_tokens=["<|im_start|>"]
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8192, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def small_group() -> Group:
    tools: list[dict[str, Any]] = [dict(describe("generate_image")), dict(describe("about"))]
    for tool in tools:
        tool["parameters"] = {"type": "object", "properties": {}}
    examples = [
        Example([Turn("user", f"draw {n} coats")], [("generate_image", {"subject": "coat", "count": n})], "tool")
        for n in range(2, 8)
    ]
    talk = [Example([Turn("user", "thank you")], [], "talk"), Example([Turn("user", "hi")], [], "talk")]
    asked = [
        Turn("user", "how many?"),
        Turn("assistant", calls=(("about", {}),)),
        Turn("tool", '{"here": 4, "gone": 2}', name="about"),
    ]
    return Group(tools, [*examples, *talk, Example(asked, [], "answer", "There are 4.")])


def test_packed_loss_equals_the_requests_one_by_one(tiny: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from chains.tuning.packing import answer_text, make_pack, pack_loss, use_packed_attention

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    group = small_group()
    pack = make_pack(tokenizer, group, 4000)
    assert len(pack.examples) == len(group.examples)
    packed = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    use_packed_attention(packed)
    plain = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    total, count = torch.zeros(()), 0
    for example in group.examples:
        prompt = encode(tokenizer, tool_prompt(group.tools, example.turns))
        answer = tokenizer.encode(answer_text(group.tools, example), add_special_tokens=False)
        answer += [tokenizer.convert_tokens_to_ids("<|im_end|>")] if example.calls or example.reply else []
        logits = plain(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        total = total + torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="sum")
        count += len(answer)
    loss = pack_loss(packed, pack)
    torch.testing.assert_close(loss, total / count, rtol=1e-5, atol=1e-6)
    (2 * loss).backward()  # twice, so that an outer factor counts
    plain.lm_head.requires_grad_(False)
    (2 * total / count).backward()
    for name in ("q_proj", "k_proj", "o_proj"):
        mine, theirs = (getattr(m.model.layers[0].self_attn, name).weight.grad for m in (packed, plain))
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_lean_lora_equals_peft(tiny: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from chains.tuning.packing import use_lean_lora

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False))
    ids = torch.arange(20)[None]
    before = model(ids).logits
    use_lean_lora(model)
    torch.testing.assert_close(model(ids).logits, before, rtol=1e-5, atol=1e-6)


def test_training_learns_resumes_and_saves_a_plain_adapter(tiny: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    from chains.tuning.recipe import Recipe, Trainer

    def run(out: Path, steps: int, resume: bool = False, stop_at: int = 0) -> Trainer:
        trainer = Trainer(tiny, out, Recipe(steps=steps, pack_tokens=16_000, dev_groups=1))
        if resume:
            trainer.load_checkpoint()
        if stop_at:
            trainer._share = lambda: trainer.progress.step / steps if trainer.progress.step < stop_at else 1.0  # type: ignore[method-assign]
        trainer.train()
        return trainer

    whole = run(tmp_path / "whole", 3)
    run(tmp_path / "halves", 3, stop_at=2)
    halves = run(tmp_path / "halves", 3, resume=True)
    for name, weight in whole.trained.items():
        torch.testing.assert_close(halves.trained[name], weight)
    assert any(weight.abs().sum() > 0 for name, weight in whole.trained.items() if "lora_B" in name)

    note = json.loads((tmp_path / "whole" / "artwright.json").read_text())
    assert note["base_sha256"] and note["step"] == 3 and note["examples"] > 3
    assert str(tmp_path) not in "".join(path.read_text() for path in (tmp_path / "whole").glob("*.[jm]*"))
    stored = load_file(tmp_path / "whole" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(model, tmp_path / "whole")
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B"
    torch.testing.assert_close(
        dict(adapted.named_parameters())[f"{name}.default.weight"].float(), stored[f"{name}.weight"].float()
    )

    later = Trainer(tiny, tmp_path / "later", Recipe(steps=1))
    later.load_weights(tmp_path / "whole")
    torch.testing.assert_close(later.trained[f"{name}.default.weight"], stored[f"{name}.weight"].float())
    assert [run["step"] for run in later.earlier] == [3]
    half = stored[f"{name}.weight"].shape[1] // 2
    narrow = {key: (w[:half] if "lora_A" in key else w[:, :half]).contiguous() for key, w in stored.items()}
    (tmp_path / "narrow").mkdir()
    save_file(narrow, tmp_path / "narrow" / "adapter_model.safetensors")
    wider = Trainer(tiny, tmp_path / "wider", Recipe(steps=1))
    wider.load_weights(tmp_path / "narrow")
    up = wider.trained[f"{name}.default.weight"]
    torch.testing.assert_close(up[:, :half], narrow[f"{name}.weight"].float())
    assert not up[:, half:].any()
    for wrong in (tmp_path, Path(__file__).parent.parent / "chains" / "tuning" / "adapter"):
        with pytest.raises(ValueError, match="adapter"):
            later.load_weights(wrong)


def test_a_mean_is_of_the_products(tiny: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from chains.tuning.average import average, mean
    from chains.tuning.recipe import RANK, Recipe, Trainer

    draw = torch.Generator().manual_seed(0)
    rows = [torch.randn(RANK // 2, 96, generator=draw) for _ in range(2)]
    pairs = [(torch.cat([row, row]), torch.randn(40, RANK, generator=draw)) for row in rows]  # the mean has that rank
    of_both = mean([{"x.lora_A.w": down, "x.lora_B.w": up} for down, up in pairs])
    expected = sum(up @ down for down, up in pairs) / 2
    torch.testing.assert_close(of_both["x.lora_B.w"] @ of_both["x.lora_A.w"], expected, atol=1e-4, rtol=1e-4)

    for steps in (1, 2):
        Trainer(tiny, tmp_path / str(steps), Recipe(steps=steps, pack_tokens=6_000, dev_groups=1)).train()
    folders = [tmp_path / "1", tmp_path / "2"]
    figures = average(folders, tmp_path / "mean", tiny)
    note = json.loads((tmp_path / "mean" / "artwright.json").read_text())
    assert note["dev"] == figures and note["step"] == 2 and [run["step"] for run in note["mean_of"]] == [1, 2]
    assert "are the mean of" in (tmp_path / "mean" / "README.md").read_text()
    one, two, both = (load_file(folder / "adapter_model.safetensors") for folder in (*folders, tmp_path / "mean"))
    for name in (name for name in one if "lora_A" in name):
        other = name.replace("lora_A", "lora_B")
        expected = sum(each[other].float() @ each[name].float() for each in (one, two)) / 2
        torch.testing.assert_close(both[other].float() @ both[name].float(), expected, atol=1e-5, rtol=0.05)
    for wrong, why in ((folders[:1], "two adapters"), ([*folders, tmp_path / "mean"], "folder of its own")):
        with pytest.raises(ValueError, match=why):
            average(wrong, tmp_path / "mean", tiny)


def test_command_line_prints_examples_and_names_mistakes(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "chains.tuning", "make", "--count", "5", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len([json.loads(line) for line in made.stdout.splitlines()]) == 5
    wrong = subprocess.run(
        [sys.executable, "-m", "chains.tuning", "train", "--minutes", "0", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert wrong.returncode == 2 and "--minutes" in wrong.stderr and "Traceback" not in wrong.stderr
