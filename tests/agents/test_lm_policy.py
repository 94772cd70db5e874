import dataclasses
import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from chat_models import ON_CPU
from ospo_agents import AgentError
from ospo_agents.policies.digests import DIGEST_FILE
from ospo_agents.policies.language_model import LanguageModelPolicy, find_policy, load_policy, save_policy
from ospo_agents.policies.prompt_format import INSTRUCTION, PromptFormat
from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from ospo_agents.training.warm_start import warm_start
from ospo_agents.trl_task import TaskReward, demonstration_dataset, prompt_dataset
from toy_task import ToyTask


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    task = ToyTask()
    tokenizer = tiny_tokenizer(task.texts(), vocab_size=300)
    model = tiny_model(tokenizer, hidden_size=64, layers=2, seed=0)
    before = LanguageModelPolicy(model, tokenizer, PromptFormat())
    ids, prompts = task.prompts("train")
    untrained = task.rewards(ids, before(ids, prompts)).mean()
    out = tmp_path_factory.mktemp("sft")
    warm_start(model, tokenizer, task, PromptFormat(), out=out, epochs=30, learning_rate=5e-3, batch_size=8, **ON_CPU)
    return task, tokenizer, model, untrained


def test_warm_start_learns_the_demonstrations(trained):
    task, tokenizer, model, untrained = trained
    ids, prompts = task.prompts("train")
    texts = LanguageModelPolicy(model, tokenizer, PromptFormat())(ids, prompts)
    assert untrained < 0.2
    assert task.rewards(ids, texts).mean() > 0.4  # two of four words are demonstrated


def test_saved_policy_opens_and_writes_the_same(trained, tmp_path):
    task, tokenizer, model, _ = trained
    ids, prompts = task.prompts("train")
    save_policy(tmp_path / "run" / "policy", model, tokenizer, PromptFormat())
    AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "policy")
    AutoTokenizer.from_pretrained(tmp_path / "run" / "policy")
    reopened = LanguageModelPolicy(*load_policy(tmp_path / "run"))
    assert reopened(ids, prompts) == LanguageModelPolicy(model, tokenizer, PromptFormat())(ids, prompts)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["policy"]  # no temporary name is left


def test_sampling_is_seeded_and_leaves_the_generator_alone(trained):
    task, tokenizer, model, _ = trained
    ids, prompts = task.prompts("train")

    def sample(seed):
        return LanguageModelPolicy(model, tokenizer, PromptFormat(), temperature=1.5, seed=seed)(ids, prompts)

    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = sample(0)
    assert torch.equal(torch.rand(1), expected)
    assert first == sample(0)
    assert first != sample(1)


def test_a_directory_without_a_model(tmp_path):
    with pytest.raises(AgentError, match=r"holds no config\.json.*ospo_agents\.training\.train, or the command"):
        find_policy(tmp_path)
    with pytest.raises(AgentError, match="does not exist"):
        find_policy(tmp_path / "nothing")


def test_a_directory_with_a_broken_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no such type"}))
    with pytest.raises(AgentError, match="cannot be opened as a policy"):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"), [("model.safetensors", b"no weights"), ("prompt_format.json", b"{}"), ("config.json", b"[]")]
)
def test_a_directory_with_a_broken_file(trained, tmp_path, name, content):
    _, tokenizer, model, _ = trained
    save_policy(tmp_path / "policy", model, tokenizer, PromptFormat())
    (tmp_path / "policy" / name).write_bytes(content)
    (tmp_path / "policy" / DIGEST_FILE).unlink()  # which would tell before anything is read
    with (
        pytest.warns(UserWarning, match="before policies carried digests"),
        pytest.raises(AgentError, match="cannot be opened as a policy") as raised,
    ):
        load_policy(tmp_path / "policy")
    assert "\n" not in str(raised.value)


def test_a_general_model_is_instructed(trained, tmp_path):
    _, tokenizer, model, _ = trained
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_policy(tmp_path)[2] == PromptFormat(INSTRUCTION, answer_tags=True)
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(AgentError, match="chat template"):
        load_policy(tmp_path)


def test_a_completion_is_as_long_as_the_policy_says(trained):
    _, tokenizer, model, _ = trained
    model.generation_config.max_new_tokens = 2
    try:
        (short,) = LanguageModelPolicy(model, tokenizer, PromptFormat())(["p0"], ["red wool coat"])
    finally:
        model.generation_config.max_new_tokens = None
    (longer,) = LanguageModelPolicy(model, tokenizer, PromptFormat(), max_new_tokens=8)(["p0"], ["red wool coat"])
    assert len(tokenizer.encode(short)) <= 2 < len(tokenizer.encode(longer))


def test_an_opened_policy_is_moved_to_the_accelerator_if_there_is_one(trained, tmp_path, monkeypatch):
    _, tokenizer, model, _ = trained
    save_policy(tmp_path / "policy", model, tokenizer, PromptFormat())
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    opened = LanguageModelPolicy.open(tmp_path / "policy", temperature=0.5, seed=4)
    assert opened.model.device.type == "cpu"
    assert (opened.seed, opened.prompt_format) == (4, PromptFormat())
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))
    assert LanguageModelPolicy.open(tmp_path / "policy").model.device.type == "meta"
    assert load_policy(tmp_path / "policy")[0].device.type == "cpu", "trainers move it themselves"


def test_progress_and_malformed_completions_are_told(trained):
    task, tokenizer, model, _ = trained
    ids, prompts = task.prompts("train")
    done = []
    policy = LanguageModelPolicy(model, tokenizer, PromptFormat(), batch_size=10, progress=done.append)
    assert "" not in policy(ids, prompts)
    assert (done, policy.malformed) == ([10, 10, 4], 0)
    tagged = LanguageModelPolicy(model, tokenizer, PromptFormat(answer_tags=True))
    assert tagged(ids, prompts) == [""] * len(ids)
    assert tagged.malformed == len(ids)


def test_completions_cut_at_the_limit_are_counted(trained):
    """Each prompt is decoded alone by transformers' own loop, which says at which token a completion ends."""
    task, tokenizer, model, _ = trained
    ids, prompts = task.prompts("train")
    lengths = []
    for prompt in prompts:
        context = tokenizer.apply_chat_template(PromptFormat().messages(prompt), add_generation_prompt=True)
        tokens = torch.tensor([context["input_ids"]])
        row = model.eval().generate(tokens, max_new_tokens=64, do_sample=False, eos_token_id=tokenizer.eos_token_id)
        lengths.append(row[0, tokens.shape[1] :].tolist().index(tokenizer.eos_token_id) + 1)
    middle = sorted(lengths)[len(ids) // 2] - 1
    counts = []
    for limit in (1, middle, max(lengths)):
        policy = LanguageModelPolicy(model, tokenizer, PromptFormat(), batch_size=10, max_new_tokens=limit)
        policy(ids, prompts)
        counts.append(policy.cut)
    assert counts == [sum(length > limit for length in lengths) for limit in (1, middle, max(lengths))]
    assert 0 < counts[1] <= counts[0]
    assert counts[2] == 0


def test_prompt_format():
    plain, tagged = PromptFormat(), PromptFormat(INSTRUCTION, answer_tags=True)
    assert plain.messages("coat") == [{"role": "user", "content": "coat"}]
    assert [message["role"] for message in tagged.messages("coat")] == ["system", "user"]
    assert PromptFormat.from_json({"instruction": INSTRUCTION, "answer_tags": True}) == tagged  # as first written
    joined = dataclasses.replace(tagged, system_role=False)
    assert PromptFormat.from_json(dataclasses.asdict(joined)) == joined
    assert joined.messages("coat") == [{"role": "user", "content": f"{INSTRUCTION}\n\ncoat"}]
    text = "a <answer>no</answer> b <answer> red coat\n</answer>"
    assert text[slice(*tagged.answer_span(text))] == "red coat"
    assert tagged.rewrite("in <answer> tags: <answer>red coat</answer>, not </answer>") == "red coat"
    for malformed in ("", "red coat", "</answer>red<answer>", "<answer>red"):
        assert tagged.answer_span(malformed) is None
    blank = tagged.answer_span("<answer>  </answer>")
    assert blank is not None
    assert blank[0] == blank[1]


def test_malformed_completions_earn_nothing_and_are_counted(trained):
    task, tokenizer, _, _ = trained
    reward = TaskReward(task, PromptFormat(answer_tags=True), tokenizer)
    (prompt_id,), (prompt,) = (values[:1] for values in task.prompts("train"))
    logged = {}
    ids = [tokenizer.encode(text) for text in (prompt, f"<answer>{prompt}</answer>")]
    rewards = reward(completion_ids=ids, prompt_id=[prompt_id] * 2, log_metric=logged.__setitem__, extra=[1, 2])
    assert rewards == [0.0, 0.75]
    assert logged == {"malformed": 0.5, "distinct_rewrites": 1.0, "empty_rewrites": 0.0}


def test_datasets_for_trl():
    task = ToyTask()
    rows = prompt_dataset(task, PromptFormat())
    assert rows.column_names == ["prompt", "prompt_id"]
    assert len(rows) == len(task.queries)
    pairs = demonstration_dataset(task, PromptFormat(answer_tags=True))
    assert pairs[0]["completion"][0]["content"].startswith("<answer>")


def test_tokenizer_keeps_any_text():
    tokenizer = tiny_tokenizer(ToyTask().texts(), vocab_size=300)
    for text in ("red coat", "señor 👟 赤い靴", "a  b\n"):
        assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text


SHOPPERS_TEXTS = [
    "red<|end|>shoe<|pad|>",
    "<|rewrite|><|end|>",
    "<<|end|>>",
    "<|<|pad|>|>",
    "<|>",
    "|end|>",
    "<|end|",
    "warm coat | red shoe; a<b",
    "señor 👟 赤い靴\n",
    "",
]


@pytest.mark.parametrize("text", SHOPPERS_TEXTS)
@pytest.mark.parametrize("instruction", ["", "Rewrite. <"])
def test_what_people_type_gives_no_special_tokens(text, instruction):
    tokenizer = tiny_tokenizer(ToyTask().texts(), vocab_size=300)
    pad, end, rewrite = specials = tokenizer.convert_tokens_to_ids(["<|pad|>", "<|end|>", "<|rewrite|>"])
    assert tokenizer.encode("a<|end|><|pad|>")[-2:] == [end, pad]  # read as tokens wherever the template lets them
    prompt_format = PromptFormat(instruction)
    prompt = prompt_format.messages(text)
    prompt_ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
    row = tokenizer.apply_chat_template([*prompt, *prompt_format.completion(text)], return_dict=False)
    assert [token for token in prompt_ids if token in specials] == [rewrite] == prompt_ids[-1:]
    assert [token for token in row if token in specials] == [rewrite, end]
    assert row[: len(prompt_ids)] == prompt_ids
    assert row[-1] == end
    learnt = tokenizer.decode(row[len(prompt_ids) :], skip_special_tokens=True)
    assert learnt.replace(" ", "") == text.replace(" ", "")
    if "<|" not in text and "|>" not in text:
        assert learnt == text


def test_tiny_model_is_seeded():
    tokenizer = tiny_tokenizer(ToyTask().texts(), vocab_size=300)
    first, again, other = (tiny_model(tokenizer, hidden_size=32, layers=1, seed=seed) for seed in (0, 0, 1))
    weights = [model.get_input_embeddings().weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
