"""Files beside weights run no code: modules that a configuration names, and pickles in place of tensors."""

import contextlib
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from chat_models import chat_directory, chat_model, chat_tokenizer
from ospo_agents import AgentError
from ospo_agents.policies.language_model import load_policy


class Attack:
    """Unpickling it writes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (Path(self.target),)


def code_that_writes(target):
    return f"from pathlib import Path\nPath({str(target)!r}).touch()\nclass Model: ...\nclass Tokenizer: ...\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return chat_directory(tmp_path_factory.mktemp("models") / "whole")


@pytest.fixture
def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "model")


@pytest.fixture
def ran(tmp_path):
    return tmp_path / "ran"


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def named_module(directory, ran):
    (directory / "evil.py").write_text(code_that_writes(ran))
    change(directory / "config.json", auto_map={"AutoModelForCausalLM": "evil.Model"}, model_type="qwen2")


def named_module_of_an_unknown_model(directory, ran):
    named_module(directory, ran)
    change(directory / "config.json", model_type="evil")


def named_module_of_the_tokenizer(directory, ran):
    (directory / "evil.py").write_text(code_that_writes(ran))
    change(directory / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]})
    change(directory / "tokenizer_config.json", tokenizer_class="Tokenizer")


def pickled_weights(directory, ran):
    (directory / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Attack(ran)}, directory / "pytorch_model.bin")


def pickled_adapter(directory, ran):
    adapter = get_peft_model(chat_model(chat_tokenizer()), LoraConfig(r=2, target_modules="all-linear"))
    adapter.peft_config["default"].base_model_name_or_path = str(shutil.copytree(directory, directory / "base"))
    adapter.save_pretrained(directory)
    (directory / "adapter_model.safetensors").unlink()
    torch.save({"lora": Attack(ran)}, directory / "adapter_model.bin")


@pytest.mark.parametrize(
    "attack",
    [
        named_module,
        named_module_of_an_unknown_model,
        named_module_of_the_tokenizer,
        pickled_weights,
        pickled_adapter,
    ],
    ids=lambda attack: attack.__name__,
)
def test_opening_a_policy_runs_no_code(copy, ran, attack):
    attack(copy, ran)
    with contextlib.suppress(AgentError):  # it may be refused, or opened without the code
        load_policy(copy)
    assert not ran.exists()


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
@pytest.mark.parametrize("value", ["kernels-community/flash-attn2", {"": "sdpa", "text": "somebody/kernel@main:f"}])
def test_a_configuration_fetches_no_kernel(copy, key, value):
    change(copy / "config.json", **{key: value})
    with pytest.raises(AgentError, match=f"asks for {key} .*which is code of the hub"):
        load_policy(copy)
    change(copy / "config.json", **{key: "eager"})
    assert load_policy(copy)[0].config._attn_implementation == "eager"


@pytest.mark.parametrize("values", [{"quantization_config": "x"}, {"layer_types": 3}, {"hidden_size": None}], ids=str)
def test_an_odd_configuration_ends_in_one_line(copy, values):
    change(copy / "config.json", **values)
    with pytest.raises(AgentError) as caught:
        load_policy(copy)
    assert "\n" not in str(caught.value)


def test_the_attacks_would_work(copy, ran, monkeypatch):
    """The negative control: the same files where they are trusted."""
    pickled_weights(copy, ran)
    torch.load(copy / "pytorch_model.bin", weights_only=False)
    assert ran.exists()
    ran.unlink()
    named_module(copy, ran)
    monkeypatch.syspath_prepend(copy)
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    __import__("evil")
    assert ran.exists()
