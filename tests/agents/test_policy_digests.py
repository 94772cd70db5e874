"""A policy is opened as it was written, or not at all."""

import hashlib
import json
import shutil
import warnings

import numpy as np
import pytest
from peft import get_peft_model

from ospo_agents import AgentError
from ospo_agents.policies import digests
from ospo_agents.policies.language_model import LanguageModelPolicy, load_policy, lora_config, save_policy
from ospo_agents.policies.prompt_format import INSTRUCTION, PromptFormat
from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from toy_task import ToyTask

FORMAT = PromptFormat("Say it briefly.")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A policy and an adapter on it."""
    directory = tmp_path_factory.mktemp("run")
    tokenizer = tiny_tokenizer(ToyTask().texts(), vocab_size=300)
    model = tiny_model(tokenizer, hidden_size=32, layers=1)
    save_policy(directory / "policy", model, tokenizer, FORMAT)
    save_policy(directory / "adapter", get_peft_model(model, lora_config(2, 4)), tokenizer, FORMAT)
    return directory


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run"


def test_the_digest_of_every_file_is_written(saved):
    for name in ("policy", "adapter"):
        stored = json.loads((saved / name / "digests.json").read_text())
        files = {path.name for path in (saved / name).iterdir()} - {"digests.json"}
        assert set(stored) == files >= {"prompt_format.json", "tokenizer.json"}
        for file, digest in stored.items():
            assert digest == hashlib.sha256((saved / name / file).read_bytes()).hexdigest()
    assert sorted(path.name for path in saved.iterdir()) == ["adapter", "policy"], "no temporary name is left"


def test_a_policy_as_it_was_written_opens_without_a_warning(copy):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert load_policy(copy / "policy")[2] == FORMAT
        assert load_policy(copy / "adapter")[2] == FORMAT
        (copy / "policy" / "README.md").write_text("A note of one's own.")
        load_policy(copy / "policy")


def changed_bits(path, count, seed=0):
    """Flip single bits of a file, one after the other, and put each back."""
    content = path.read_bytes()
    for place in np.random.default_rng(seed).integers(8 * len(content), size=count).tolist():
        other = bytearray(content)
        other[place // 8] ^= 1 << place % 8
        path.write_bytes(bytes(other))
        yield
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json", "prompt_format.json"])
def test_no_flipped_bit_goes_unnoticed(copy, file):
    for _ in changed_bits(copy / "policy" / file, 10):
        with pytest.raises(AgentError, match=rf"{file} as it was written, but its SHA-256 is not that") as raised:
            load_policy(copy / "policy")
        assert "\n" not in str(raised.value)
    load_policy(copy / "policy")


def test_flipped_bits_matter(copy):
    """The negative control: without digests, weights with flipped bits open, and give other texts."""
    ids, prompts = ToyTask().prompts("train")
    policy = copy / "policy"
    right = LanguageModelPolicy(*load_policy(policy), max_new_tokens=8, temperature=1.0)(ids, prompts)
    (policy / "digests.json").unlink()
    content = (policy / "model.safetensors").read_bytes()
    weights = np.frombuffer(content[8 + int.from_bytes(content[:8], "little") :], dtype=np.uint32).copy()
    weights[: len(weights) // 2] ^= np.uint32(1 << 31)  # signs
    (policy / "model.safetensors").write_bytes(content[: -weights.nbytes] + weights.tobytes())
    with pytest.warns(UserWarning, match="before policies carried digests"):
        wrong = LanguageModelPolicy(*load_policy(policy), max_new_tokens=8, temperature=1.0)(ids, prompts)
    assert wrong != right


def test_the_base_of_an_adapter_is_checked_too(copy):
    config = copy / "adapter" / "adapter_config.json"
    base = json.loads(config.read_text())["base_model_name_or_path"]
    assert base.endswith("policy")
    stored = json.loads((copy / "adapter" / "digests.json").read_text())
    config.write_text(config.read_text().replace(base, str(copy / "policy")))
    stored["adapter_config.json"] = hashlib.sha256(config.read_bytes()).hexdigest()
    (copy / "adapter" / "digests.json").write_text(json.dumps(stored))
    load_policy(copy / "adapter")
    for _ in changed_bits(copy / "policy" / "model.safetensors", 1):
        with pytest.raises(AgentError, match=r"policy/model\.safetensors as it was written"):
            load_policy(copy / "adapter")


@pytest.mark.parametrize("file", ["prompt_format.json", "tokenizer_config.json", "model.safetensors"])
def test_a_missing_file_of_a_policy_of_ours_is_an_error(copy, file):
    """Without its prompt format a policy would be told what a general model is told, and write something else."""
    (copy / "policy" / file).unlink()
    with pytest.raises(AgentError, match=rf"expected .*policy/{file}, which digests.json lists, but it is missing"):
        load_policy(copy / "policy")


def test_a_model_of_others_needs_no_prompt_format(copy):
    for name in ("prompt_format.json", "digests.json"):
        (copy / "policy" / name).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert load_policy(copy / "policy")[2] == PromptFormat(INSTRUCTION, answer_tags=True)


def test_a_policy_from_before_opens_with_one_warning(copy):
    (copy / "policy" / "digests.json").unlink()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")  # what Python does unless it is told otherwise: once for each place
        for _ in range(2):
            load_policy(copy / "policy")
    assert [("written before policies carried digests" in str(one.message)) for one in shown] == [True]
    with pytest.warns(UserWarning, match="policies carried digests") as caught:
        assert load_policy(copy / "policy")[2] == FORMAT
    assert len(caught) == 1


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"config.json": "00"}',
        '{"prompt_format.json": 1}',
        '{"prompt_format.json": "00", "../x": "00"}',
        '{"prompt_format.json": "00", "/etc/hosts": "00"}',
        "[" * 100_000,
        "\ud800",
    ],
)
def test_digests_that_cannot_be_read_are_an_error(copy, content):
    (copy / "policy" / "digests.json").write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(AgentError, match=r"expected a JSON object of file names and SHA-256 digests") as raised:
        digests.check_digests(copy / "policy")
    assert "\n" not in str(raised.value)
