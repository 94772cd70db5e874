"""The check of a GPU, with small models on the CPU: every comparison and every row of the table."""

import copy
import json

import pytest
import torch

from ospo_agents import AgentError
from ospo_agents.policies.tiny import tiny_tokenizer
from ospo_cli import gpu_check
from ospo_cli._gpu_check import correctness
from ospo_cli._gpu_check.correctness import correctness_rows
from ospo_cli._gpu_check.costs import Load, measure_costs
from ospo_cli._gpu_check.models import TINY, TINY_ENCODER, random_policy, write_encoder
from ospo_env import RetrievalTask
from shop import shop


def test_the_whole_check_on_a_cpu(tmp_path, capsys):
    gpu_check.main(["--tiny", "--device", "cpu", "--steps", "1", "--out", str(tmp_path / "out")])
    assert "MISSED" not in capsys.readouterr().out
    written = json.loads((tmp_path / "out/gpu-check.json").read_text())
    rows = {row["work"]: row for row in written["rows"]}
    assert len(rows) == 9
    assert written["seconds"] > 0
    assert all(row["met"] for row in rows.values())
    costs = [row["details"] for work, row in rows.items() if work.startswith("OSPO's step over GRPO's")]
    for of_load in costs:
        assert set(of_load) == {"grpo", "ospo"}
        assert set(of_load["ospo"]["stages"]) == {"generation", "scoring", "credit", "update"}
        assert set(of_load["grpo"]["stages"]) == {"generation", "scoring", "update"}
        for cost in of_load.values():  # the stages are the step: nothing large is left out of them
            assert 0.5 * cost["seconds"] < sum(cost["stages"].values()) < 1.5 * cost["seconds"]
        assert len(of_load["grpo"]["rounds"]) == len(of_load["ospo"]["rounds"]) == 2
        assert of_load["ospo"]["tokens"] == pytest.approx(16 * 12 / of_load["ospo"]["seconds"])
    page = (tmp_path / "out/gpu-check.md").read_text()
    assert page.count("| grpo |") == page.count("| ospo |") == 2


def test_one_half_alone(tmp_path, capsys):
    """Costs are left out; the other half is what the test above has beside them."""
    gpu_check.main(["--tiny", "--device", "cpu", "--only", "correctness", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "gpu-check.json").read_text())["rows"]
    assert len(rows) == 5
    assert not any("step over" in row["work"] for row in rows)
    assert gpu_check.parse(["--only", "costs"]).only == "costs"
    with pytest.raises(SystemExit):
        gpu_check.parse(["--only", "credit"])


def test_credit_of_another_encoder_is_told(tmp_path, monkeypatch):
    """Negative control: the device that is checked gets other weights."""
    import ospo_env.retrievers.dense as dense

    task = RetrievalTask(shop(), "bm25")
    for name in ("right", "wrong"):
        write_encoder(TINY_ENCODER, task, tmp_path / name)
    from sentence_transformers import SentenceTransformer

    other = SentenceTransformer(str(tmp_path / "wrong/encoder"), device="cpu")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.2)
    other.save(str(tmp_path / "other"))
    opened = []

    class Switched(dense.DenseRetriever):
        def __init__(self, corpus, model, **settings):
            opened.append(model)
            super().__init__(corpus, model if len(opened) == 1 else str(tmp_path / "other"), **settings)

    monkeypatch.setattr(dense, "DenseRetriever", Switched)
    rows = correctness_rows("cpu", tmp_path / "right/encoder")
    assert [row.met for row in rows] == [True, True, True, True, False]


def test_another_model_on_the_device_is_told(monkeypatch):
    """Negative control of tokens and log-probabilities: the copy that goes to the device has another weight."""
    task = RetrievalTask(shop(), "bm25")
    tokenizer = tiny_tokenizer(task.texts())
    right = correctness._tokens("cpu", task, tokenizer)
    assert [row.met for row in right] == [True, True]

    def other(thing, memo=None):
        thing = copied(thing, memo)
        if isinstance(thing, torch.nn.Module) and hasattr(thing, "lm_head"):
            with torch.no_grad():
                thing.lm_head.weight[:40] *= 1.5
        return thing

    copied = copy.deepcopy
    with monkeypatch.context() as patch:
        patch.setattr(copy, "deepcopy", other)
        assert [row.met for row in correctness._tokens("cpu", task, tokenizer)] == [True, False]
    monkeypatch.setattr(correctness, "decode", lambda model, ids, **settings: torch.cat([ids, ids[:, -1:]], dim=1))
    assert not next(row.met for row in correctness._tokens("cpu", task, tokenizer))


def test_no_run_finds_texts_that_another_had_ranked():
    made = []

    def make_task():
        made.append(RetrievalTask(shop(), "bm25", max_words=64))
        return made[-1]

    measure_costs(Load("tiny", TINY, lora=False, rollouts=16, tokens=8), make_task, "cpu", 1, rounds=1)
    assert len(made) == 2
    assert [task.counters["cached"] < task.counters["asked"] for task in made] == [True, True]


def test_random_policies_write_words_and_commas():
    task = RetrievalTask(shop(), "bm25")
    model, tokenizer = random_policy(TINY, task, "cpu")
    again, _ = random_policy(TINY, task, "cpu")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    torch.manual_seed(0)
    ids = torch.full((64, 1), tokenizer.convert_tokens_to_ids("<|rewrite|>"))
    written = model.generate(ids, max_new_tokens=32, do_sample=True, top_k=0)[:, 1:]
    assert written.shape == (64, 32), "none ends before its time"
    words = {text.strip() for text in map(tokenizer.decode, written.flatten().tolist())}
    known = " ".join(task.texts()).lower()
    assert all(word == "," or word.lower() in known for word in words)
    commas = float((written == tokenizer.convert_tokens_to_ids(",")).double().mean())
    assert 0.15 < commas < 0.35, "one token in four"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--device", "tpu"], "--device: expected cuda or cpu"),
        (["--device", "cpu"], "need a GPU; add --tiny"),
        (["--steps", "0"], "--steps: expected at least 1"),
    ],
)
def test_arguments(argv, message):
    with pytest.raises(AgentError, match=message):
        gpu_check.parse(argv)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch finds a GPU here")
def test_without_a_gpu_it_is_said():
    with pytest.raises(AgentError, match="torch finds no GPU here"):
        gpu_check.main([])
