"""Where a model is looked for, and how it is opened."""

import dataclasses

import pytest
import torch

from chat_models import TAGGED, chat_directory
from ospo_agents import AgentError
from ospo_agents.policies.language_model import find_policy, load_policy, lora_config
from ospo_agents.policies.prompt_format import INSTRUCTION


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return chat_directory(tmp_path_factory.mktemp("hub") / "qwen")


def test_a_general_model_is_asked_in_its_own_chat_template(source):
    model, tokenizer, prompt_format = load_policy(source)
    assert prompt_format == TAGGED
    assert model.dtype == torch.float32
    assert model.name_or_path == str(source)
    text = tokenizer.apply_chat_template(prompt_format.messages("red coat"), add_generation_prompt=True, tokenize=False)
    assert text == f"<|im_start|>system\n{INSTRUCTION}<|im_end|>\n<|im_start|>user\nred coat<|im_end|>\n" + (
        "<|im_start|>assistant\n"
    )


REFUSES = "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('none') }}{% endif %}{% endfor %}"
DROPS = "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}"


@pytest.mark.parametrize("template", [REFUSES + DROPS, DROPS])
def test_a_template_without_a_system_role(source, tmp_path, template):
    model, tokenizer, _ = load_policy(source)
    tokenizer.chat_template = template
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    _, tokenizer, prompt_format = load_policy(tmp_path)
    assert prompt_format == dataclasses.replace(TAGGED, system_role=False)
    text = tokenizer.apply_chat_template(prompt_format.messages("red coat"), tokenize=False)
    assert text == f"{INSTRUCTION}\n\nred coat"


def test_names_that_are_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for path in ("runs/demo", "./demo", "/no/such/run", "a/b/c", tmp_path / "x"):
        with pytest.raises(AgentError, match=r"but it does not exist; train one"):
            find_policy(path)
    (tmp_path / "file").touch()
    with pytest.raises(AgentError, match="it is a file"):
        find_policy("file")
    assert find_policy("org/model") == "org/model"
    for name in ("org/model", "gpt2"):
        with pytest.raises(AgentError, match=rf"'{name}' is no directory here, and as a hub id") as raised:
            load_policy(name)
        assert "\n" not in str(raised.value)


def test_four_bits_say_what_they_need(source, monkeypatch):
    with pytest.raises(AgentError, match="4-bit weights need a GPU"):
        load_policy(source, load_4bit=True)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AgentError, match="pip install bitsandbytes"):
        load_policy(source, load_4bit=True)


def test_four_bits_are_asked_for_as_qlora_does(source, monkeypatch):
    """No GPU here: what transformers would be told."""
    told = {}

    def from_pretrained(path, **settings):
        told.update(settings)
        raise OSError("enough")

    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("ospo_agents.policies.loading.AutoModelForCausalLM.from_pretrained", from_pretrained)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(AgentError, match="enough"):
        load_policy(source, bf16=True, load_4bit=True)
    assert told["device_map"] == {"": 1}
    assert told["trust_remote_code"] is False
    quantization = told["quantization_config"]
    assert quantization.load_in_4bit
    assert quantization.bnb_4bit_quant_type == "nf4"
    assert quantization.bnb_4bit_compute_dtype == torch.bfloat16


@pytest.mark.parametrize(("rank", "alpha"), [(0, 16), (8, 0)])
def test_lora_settings(rank, alpha):
    with pytest.raises(AgentError, match="LoRA rank"):
        lora_config(rank, alpha)
