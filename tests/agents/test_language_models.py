"""A causal LM with a chat template, from disk to a trained adapter and back."""

import pytest
import torch
from peft import PeftModel, get_peft_model

from chat_models import PLAIN, TAGGED, answers, chat_directory, chat_model, chat_tokenizer, logged, train, weights
from ospo_agents import AgentError
from ospo_agents.policies.language_model import LanguageModelPolicy, load_policy, lora_config, save_policy
from ospo_agents.policies.prompt_format import INSTRUCTION, PromptFormat
from ospo_agents.training.settings import TrainingSettings
from ospo_agents.training.stages import make_policy
from ospo_agents.training.warm_start import warm_start
from toy_task import ToyTask


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return chat_directory(tmp_path_factory.mktemp("hub") / "qwen")


def write(policy, **settings):
    """What it says, tags or not."""
    ids, prompts = ToyTask().prompts("train")
    texts = LanguageModelPolicy(*policy[:2], PromptFormat(), max_new_tokens=8, **settings)(ids, prompts)
    assert any(texts)
    return texts


def test_an_adapter_moves_and_its_base_does_not(source, tmp_path):
    base = load_policy(source)
    start = weights(base[0])
    trainer = train(base, tmp_path, answers(40), beta=0.05, peft_config=lora_config(4, 8))
    adapted = weights(trainer.model)
    inner = {name.removeprefix("base_model.model.").replace(".base_layer", ""): name for name in adapted}
    assert all(torch.equal(start[name], adapted[inner[name]]) for name in start)
    second = {name: tensor for name, tensor in adapted.items() if "lora_B" in name}
    assert len(second) == 2 * 7  # all linear layers of two blocks
    assert all(tensor.abs().max() > 0 for tensor in second.values())  # they start at 0
    first, then = logged(trainer, "kl")
    assert abs(first) < 1e-9 < 1e-5 < then
    assert all(0 < share < 1 for share in logged(trainer, "malformed"))


def test_a_saved_adapter_opens_writes_the_same_and_is_trained_on(source, tmp_path):
    base = load_policy(source)
    base[0].generation_config.max_new_tokens = 5
    trainer = train(base, tmp_path, answers(40), peft_config=lora_config(4, 8))
    with pytest.raises(AgentError, match="inside an adapter"):
        save_policy(tmp_path / "wrong", *base)
    policy = (trainer.model, *base[1:])
    save_policy(tmp_path / "run" / "policy", *policy)
    files = {path.name for path in (tmp_path / "run" / "policy").iterdir()}
    assert {"adapter_model.safetensors", "tokenizer.json", "prompt_format.json"} <= files
    assert "model.safetensors" not in files
    reopened = load_policy(tmp_path / "run")
    assert isinstance(reopened[0], PeftModel)
    assert reopened[0].generation_config.max_new_tokens == 5
    assert reopened[2] == TAGGED
    ids = torch.tensor([base[1].encode("red coat, wool")])
    with torch.no_grad():
        expected, values = (model.eval()(ids).logits for model in (policy[0], reopened[0]))
        plain = load_policy(source)[0].eval()(ids).logits
    assert torch.equal(values, expected)
    assert not torch.allclose(values, plain, atol=1e-3)  # the adapter does something
    assert write(reopened, temperature=1.0) == write(policy, temperature=1.0)
    # A second round: the reference is the adapter as it was opened, and is not saved with it.
    again = train(reopened, tmp_path, answers(40, seed=1), beta=0.05)
    first, then = logged(again, "kl")
    assert abs(first) < 1e-9 < 1e-5 < then
    save_policy(tmp_path / "second", again.model, *base[1:])
    assert "ref" in again.model.peft_config
    assert not (tmp_path / "second" / "ref").exists()


def test_a_run_that_was_moved_still_opens(source, tmp_path):
    run = tmp_path / "run"
    model, tokenizer, prompt_format = load_policy(source)
    save_policy(run / "warmstart", model, tokenizer, prompt_format)
    adapted = get_peft_model(model, lora_config(4, 8))
    save_policy(run / "policy", adapted, tokenizer, prompt_format)
    run.rename(tmp_path / "moved")
    assert isinstance(load_policy(tmp_path / "moved")[0], PeftModel)
    (tmp_path / "moved" / "warmstart").rename(tmp_path / "lost")
    with pytest.raises(AgentError, match=r"belongs to the model at .*warmstart, which does not exist"):
        load_policy(tmp_path / "moved")


def test_an_adapter_needs_a_base_on_disk(tmp_path):
    tokenizer = chat_tokenizer()
    adapted = get_peft_model(chat_model(tokenizer), lora_config(4, 8))
    with pytest.raises(AgentError, match="its base is not"):
        save_policy(tmp_path / "policy", adapted, tokenizer, TAGGED)


def test_the_reference_is_the_warm_started_policy(source, tmp_path):
    policy = load_policy(source)
    settings = {name: value for name, value in PLAIN.items() if name not in ("save_strategy", "report_to")}
    warm_start(policy[0], policy[1], ToyTask(), policy[2], out=tmp_path, epochs=1, **settings)
    with pytest.raises(AgentError, match="save_policy first"):  # and not the model as it was before the warm start
        train(policy, tmp_path, answers(40), beta=0.05)
    save_policy(tmp_path / "warmstart", *policy)
    start = weights(policy[0])
    trainer = train(policy, tmp_path, answers(40), beta=0.05)
    reference = weights(trainer.ref_model)
    assert all(torch.equal(reference[name], start[name]) for name in start)
    assert not all(torch.equal(weights(load_policy(source)[0])[name], start[name]) for name in start)
    assert logged(trainer, "kl")[0] < 1e-9 < 1e-5 < logged(trainer, "kl")[1]


@pytest.mark.parametrize("lora", [False, True])
def test_bfloat16(source, tmp_path, lora):
    policy = load_policy(source, bf16=True)
    assert policy[0].dtype == torch.bfloat16
    start = weights(policy[0])
    trainer = train(
        policy, tmp_path, answers(40), max_steps=1, beta=0.05, peft_config=lora_config(4, 8) if lora else None
    )
    trained = {name: tensor for name, tensor in trainer.model.named_parameters() if tensor.requires_grad}
    assert {tensor.dtype for tensor in trained.values()} == {torch.float32 if lora else torch.bfloat16}
    assert all(torch.isfinite(tensor).all() for tensor in trained.values())
    if lora:
        assert any(tensor.abs().max() > 0 for name, tensor in trained.items() if "lora_B" in name)
    else:
        assert not all(torch.equal(tensor, start[name]) for name, tensor in trained.items())


def test_computing_in_bfloat16_keeps_float32_weights(source, tmp_path):
    policy = load_policy(source)
    start = weights(policy[0])
    trainer = train(policy, tmp_path, answers(40), max_steps=1, bf16=True)
    assert trainer.model.dtype == torch.float32
    assert not all(torch.equal(tensor, start[name]) for name, tensor in weights(trainer.model).items())


def test_greedy_and_sampled_writing_ignore_the_models_own_taste(source):
    policy = load_policy(source)
    with torch.no_grad():  # random weights repeat the last token, and a line break alone is no text
        policy[0].get_input_embeddings().weight[policy[1].encode("\n")] = 0.0
    greedy, sampled = write(policy), write(policy, temperature=1.0, seed=3)
    policy[0].generation_config.update(do_sample=True, temperature=0.01, top_k=1, repetition_penalty=1.8)
    assert greedy != sampled
    assert write(policy) == greedy
    assert write(policy, temperature=1.0, seed=3) == sampled


class Engine:
    """Stands where TRL puts vLLM: tokens in, tokens and their log-probabilities out."""

    def __init__(self, model=None, processing_class=None, **settings):
        self.model, self.tokenizer, self.settings = model, processing_class, settings
        self.synchronised = 0

    def sync_weights(self):
        self.synchronised += 1

    def generate(self, prompts, images, num_generations, profiler):
        assert all(isinstance(token, int) for prompt in prompts for token in prompt)
        texts = [answers(40)[(self.synchronised - 1) * 31 + row] for row in range(len(prompts))]
        completions = [[*self.tokenizer.encode(text), self.tokenizer.eos_token_id] for text in texts]
        return None, completions, [self._known(*pair) for pair in zip(prompts, completions, strict=True)], None

    @torch.no_grad()
    def _known(self, prompt, completion):
        hidden = self.model.model(torch.tensor([prompt + completion])).last_hidden_state
        logits = self.model.lm_head(hidden)[0, len(prompt) - 1 : -1]
        return logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None]).tolist()


def test_completions_of_vllm_are_learned_from_as_any_others(source, tmp_path, monkeypatch):
    """No vLLM here: our side of TRL's switch, with what vLLM would return."""
    expected = weights(train(load_policy(source), tmp_path, answers(40)).model)
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", Engine)
    trainer = train(load_policy(source), tmp_path, use_vllm=True, vllm_mode="colocate")
    assert trainer.vllm_generation.synchronised == 2
    assert trainer.vllm_generation.settings["trust_remote_code"] is False
    assert max(logged(trainer, "sampling/sampling_logp_difference/max")) < 1e-5
    assert min(logged(trainer, "segments")) > 1
    start = weights(load_policy(source)[0])
    for name, values in weights(trainer.model).items():
        assert not torch.equal(values, start[name])
        torch.testing.assert_close(values, expected[name], rtol=0, atol=1e-3)  # AdamW's steps are 1e-2


def test_weights_in_bfloat16_are_opened_and_evaluated_in_it(tmp_path):
    tokenizer = chat_tokenizer()
    model = chat_model(tokenizer)
    save_policy(tmp_path / "whole", model, tokenizer, PromptFormat())
    save_policy(tmp_path / "half", model, tokenizer, PromptFormat(), bf16=True)
    assert model.dtype == torch.float32, "the model itself stays"
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    assert [LanguageModelPolicy.open(tmp_path / name).model.dtype for name in ("whole", "half")] == [
        torch.float32,
        torch.bfloat16,
    ]
    assert load_policy(tmp_path / "half")[0].dtype == torch.float32, "to be trained"


def test_a_foreign_model_may_be_sent_the_prompt_alone(tmp_path):
    tokenizer = chat_tokenizer()
    model = chat_model(tokenizer)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    formats = [
        make_policy(TrainingSettings(policy=str(tmp_path), bare_prompts=bare), ToyTask()).prompt_format
        for bare in (False, True)
    ]
    assert formats == [PromptFormat(INSTRUCTION, answer_tags=True), PromptFormat()]
    with pytest.raises(AgentError, match="bare_prompts is of a trained policy"):
        TrainingSettings(bare_prompts=True).check()
