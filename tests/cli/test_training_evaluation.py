"""Evaluation during training, the best policy, and what TRL reports, in whole runs."""

import json
import shutil
import struct

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from ospo_agents import AgentError
from ospo_agents.policies.language_model import LanguageModelPolicy
from ospo_agents.training import evaluation
from ospo_agents.training.curves import panels
from ospo_agents.training.run_directory import read_log
from ospo_cli._tasks import open_task
from runs import interrupt, kill, without_times
from small_run import command, log, manifest, run, weights


@pytest.fixture(scope="module")
def plain(tmp_path_factory, warm_started):
    """A run without evaluation, and its weights at each step."""
    out = tmp_path_factory.mktemp("plain") / "run"
    run(out, **warm_started, steps=6, save_steps=1, trl="{save_total_limit: 9}")
    steps = {step: weights(out / "checkpoints", f"checkpoint-{step}") for step in range(1, 6)}
    return out, {0: weights(out, "warmstart"), **steps, 6: weights(out)}


def values_of(out):
    return {row["step"]: row["eval_reward"] for row in read_log(out) if "eval_reward" in row}


def stub(monkeypatch, values):
    """Let evaluations find these values, one a step."""
    monkeypatch.setattr(
        evaluation, "_greedy_reward", lambda trainer, *_: lambda: {"eval_reward": values[trainer.state.global_step]}
    )


def test_evaluations_are_logged_and_change_nothing(tmp_path, warm_started, plain):
    out = run(tmp_path / "run", **warm_started, steps=6, eval_steps=4, trl="{report_to: [tensorboard]}")
    values = values_of(out)
    assert list(values) == [0, 4, 6]
    assert weights(out) == plain[1][6]
    assert [row["step"] for row in log(out)] == [1, 2, 3, 4, 5, 6]
    rows = read_log(out)
    assert [row["step"] for row in rows if "loss" in row or "eval_reward" in row] == [0, 1, 2, 3, 4, 4, 5, 6, 6]
    assert all(row["eval_nDCG@10"] == row["eval_reward"] for row in rows if "eval_reward" in row)
    assert manifest(out)["validation"] == {
        "best_step": evaluation.best_step(values),
        "best": max(values.values()),
        "last": values[6],
    }
    assert manifest(out)["policy_step"] == 6
    assert panels(rows)["reward of greedy rewrites, validation"]["mean"] == ([0, 4, 6], list(values.values()))
    assert "reward of greedy rewrites, validation" not in panels(read_log(plain[0]))
    # The values are those of the policies: asked again, after the run.
    task = open_task("OSPO-ESCI-v0", warm_started["data"], split="validation", retriever="bm25", metric="nDCG@10")
    for stage, step in (("warmstart", 0), ("policy", 6)):
        rewrites = LanguageModelPolicy.open(out / stage)(*task.prompts("validation"))
        assert values[step] == pytest.approx(np.mean(task.rewards(task.prompts("validation")[0], rewrites)), abs=0)
    texts = LanguageModelPolicy.open(out)(*task.prompts("validation"))
    last = [row for row in rows if "eval_reward" in row][-1]
    said = [text for text in texts if text]
    assert last["eval_distinct_rewrites"] == len(set(said)) / len(said)
    assert last["eval_empty_rewrites"] == texts.count("") / len(texts)
    for row in log(out):
        assert {"distinct_rewrites", "empty_rewrites", "unknown_words", "entropy"} <= row.keys()
        assert 0 < row["distinct_rewrites"] <= 1
    scalars = tensorboard(out / "tensorboard")
    assert scalars["train/loss"] == pytest.approx({row["step"]: row["loss"] for row in log(out)})
    assert scalars["eval/reward"] == pytest.approx(values)
    assert not (plain[0] / "tensorboard").exists()


def tensorboard(directory):
    """What TensorBoard reads: tag -> step -> value. A record is its length, a checksum, an event and a checksum."""
    (path,) = directory.glob("events.out.tfevents.*")
    content, scalars = path.read_bytes(), {}
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        for value in event.summary.value:
            if value.HasField("simple_value"):
                scalars.setdefault(value.tag, {})[event.step] = value.simple_value
        content = content[16 + length :]
    return scalars


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ({0: 0.1, 2: 0.5, 4: 0.3, 6: 0.2}, 2),
        ({0: 0.1, 2: 0.5, 4: 0.5, 6: 0.5}, 2),  # ties go to the earlier
        ({0: 0.5, 2: 0.1, 4: 0.5, 6: 0.2}, 0),
        ({0: 0.1, 2: 0.2, 4: 0.3, 6: 0.4}, 6),
    ],
)
def test_the_best_policy_is_kept(tmp_path, warm_started, plain, monkeypatch, values, best):
    stub(monkeypatch, values)
    out = run(tmp_path / "run", **warm_started, steps=6, eval_steps=2, keep="best")
    assert weights(out) == plain[1][best]
    assert manifest(out)["validation"] == {"best_step": best, "best": values[best], "last": values[6]}
    assert manifest(out)["policy_step"] == best
    assert not (out / "best").exists()
    assert not (out / "checkpoints").exists()


def test_the_last_policy_is_kept_unless_asked(tmp_path, warm_started, plain, monkeypatch):
    stub(monkeypatch, {0: 0.1, 2: 0.5, 4: 0.3, 6: 0.2})
    out = run(tmp_path / "run", **warm_started, steps=6, eval_steps=2)
    assert weights(out) == plain[1][6] != plain[1][2]
    assert manifest(out)["validation"]["best_step"] == 2


def test_a_run_stops_where_patience_ends(tmp_path, warm_started, plain, monkeypatch):
    """The best is at 1; at 3 two evaluations in a row have not been better. No checkpoint is made there."""
    stub(monkeypatch, {0: 0.1, 1: 0.5, 2: 0.3, 3: 0.5, 4: 0.9, 5: 0.9, 6: 0.9})
    settings = {**warm_started, "steps": 6, "save_steps": 1, "eval_steps": 1, "patience": 2, "keep": "best"}
    out = run(tmp_path / "run", **settings)
    assert list(values_of(out)) == [0, 1, 2, 3]
    assert weights(out) == plain[1][1]
    ended = manifest(out)
    assert (ended["status"], ended["stopped_step"], ended["rollouts"]) == ("finished", 3, 3 * 8)
    assert ended["validation"] == {"best_step": 1, "best": 0.5, "last": 0.5}
    assert ended["policy_step"] == 1
    assert ended["arguments"]["patience"] == 2
    with monkeypatch.context() as patched:
        interrupt(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "again", **settings)
    run(tmp_path / "again", "--resume")
    assert weights(tmp_path / "again") == weights(out)
    assert manifest(tmp_path / "again")["stopped_step"] == 3
    patient = run(tmp_path / "patient", **{**settings, "patience": 3, "save_steps": 0})
    assert weights(patient) == plain[1][4]
    assert "stopped_step" not in manifest(patient)


@pytest.mark.parametrize("stop", [3, 5])
@pytest.mark.parametrize("values", [{0: 0.1, 2: 0.5, 4: 0.3, 6: 0.2}, {0: 0.1, 2: 0.2, 4: 0.6, 6: 0.6}])
def test_a_resumed_run_keeps_the_same_policy(tmp_path, warm_started, plain, monkeypatch, values, stop):
    """Checkpoint at 3: what a killed run found to be better later is found again, not taken from it."""
    stub(monkeypatch, values)
    settings = {**warm_started, "steps": 6, "save_steps": 3, "eval_steps": 2, "keep": "best"}
    whole = run(tmp_path / "whole", **settings)
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        interrupt(patched, stop)
        with pytest.raises(KeyboardInterrupt):
            run(out, **settings)
    best = {path.name for path in (out / "best").iterdir()}
    first = {"step-0", "step-2"} if stop == 3 else {"step-2"}  # the checkpoint at 3 removes what was beaten before
    assert best == first | ({"step-4"} if stop == 5 and values[4] > values[2] else set())
    run(out, "--resume")
    assert weights(out) == weights(whole) == plain[1][evaluation.best_step(values)]
    assert without_times(read_log(out)[:-1]) == without_times(read_log(whole)[:-1])
    assert manifest(out)["validation"] == manifest(whole)["validation"]
    assert manifest(out)["evaluations"]["asked"] == manifest(whole)["evaluations"]["asked"]


def test_a_run_that_is_killed_keeps_the_same_policy(tmp_path, warm_started):
    settings = {**warm_started, "steps": 12, "save_steps": 3, "eval_steps": 2, "keep": "best"}
    whole = run(tmp_path / "whole", **settings)
    out = tmp_path / "run"
    kill(command(out, **settings), lambda: sum("loss" in row for row in read_log(out)) >= 7)
    assert manifest(out)["status"] == "unfinished"
    run(out, "--resume")
    assert weights(out) == weights(whole)
    assert values_of(out) == values_of(whole)
    assert manifest(out)["validation"] == manifest(whole)["validation"]


def test_a_best_policy_that_is_gone_is_told(tmp_path, warm_started, monkeypatch):
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        interrupt(patched, 5)
        with pytest.raises(KeyboardInterrupt):
            run(out, **warm_started, steps=6, save_steps=3, eval_steps=2, keep="best")
    shutil.rmtree(out / "best")
    with pytest.raises(AgentError, match=r"holds no best/step-.*--overwrite"):
        run(out, "--resume")


def test_checkpoints_that_are_asked_for_stay(plain):
    out, _ = plain
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == [
        f"checkpoint-{step}" for step in range(1, 6)
    ]
    policy = LanguageModelPolicy.open(out / "checkpoints" / "checkpoint-3")
    assert policy.prompt_format == LanguageModelPolicy.open(out).prompt_format
    assert manifest(out)["arguments"]["trl"] == {"save_total_limit": 9}


def test_only_so_many_checkpoints_are_kept(tmp_path, warm_started):
    (tmp_path / "trl.yaml").write_text("save_total_limit: 2\nweight_decay: 0.1\n")
    out = run(tmp_path / "run", **warm_started, steps=5, save_steps=1, trl=tmp_path / "trl.yaml")
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["checkpoint-3", "checkpoint-4"]
    assert manifest(out)["arguments"]["trl"] == {"save_total_limit": 2, "weight_decay": 0.1}


def test_fields_of_trl_are_resumed(tmp_path, warm_started, monkeypatch):
    settings = {**warm_started, "steps": 6, "save_steps": 3, "trl": "{warmup_ratio: 0.5, weight_decay: 0.1}"}
    whole = run(tmp_path / "whole", **settings)
    assert [row["learning_rate"] for row in log(whole)] == pytest.approx([0, 1e-4, 2e-4, 3e-4, 3e-4, 3e-4])
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        interrupt(patched, 4)
        with pytest.raises(KeyboardInterrupt):
            run(out, **settings)
    with pytest.raises(AgentError, match=r"--trl .*now"):
        run(out, "--resume", trl="{weight_decay: 0.2}")
    run(out, "--resume")
    assert weights(out) == weights(whole)
    changed = manifest(out)
    changed["status"] = "unfinished"
    changed["arguments"]["trl"]["report_to"] = ["wandb"]
    (out / "run.json").write_text(json.dumps(changed))
    with pytest.raises(AgentError, match=r"sets TRL's report_to to .*repeat it: --trl"):
        run(out, "--resume")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": "best"}, "--keep best needs evaluations to choose by; add --eval-steps"),
        ({"patience": 2}, "--patience 2 needs evaluations to choose by; add --eval-steps"),
        ({"eval_steps": 2, "patience": -1}, "--patience: expected at least 0"),
        ({"warmup_steps": 2, "trl": "{warmup_ratio: 0.1}"}, "--warmup-steps 2: --trl decides about it too"),
        ({"eval_steps": -1}, "--eval-steps: expected at least 0"),
        ({"eval_steps": 2, "eval_prompts": 0}, "--eval-prompts: expected at least 1"),
        ({"trl": "{wieght_decay: 0.1}"}, "did you mean 'weight_decay'"),
        ({"trl": "[1]"}, "--trl: expected a mapping"),
    ],
)
def test_wrong_settings_write_nothing(tmp_path, warm_started, settings, message):
    with pytest.raises(AgentError, match=message):
        run(tmp_path / "run", **{**warm_started, **settings})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["{a: [", "missing.yaml"])
def test_yaml_that_cannot_be_read(tmp_path, text, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path / "run", trl=text)
    (line,) = capsys.readouterr().err.splitlines()
    assert "--trl" in line


def test_few_of_many_prompts_are_the_same_for_every_run():
    class Task:
        def prompts(self, split):
            assert split == "validation"
            return [f"v{row}" for row in range(50)], [f"prompt {row}" for row in range(50)]

    ids, texts = evaluation.validation_rows(Task(), 8)
    assert len(set(ids)) == 8
    assert texts == [f"prompt {name[1:]}" for name in ids]
    assert (ids, texts) == evaluation.validation_rows(Task(), 8)
    assert len(evaluation.validation_rows(Task(), 100)[0]) == 50


def test_a_task_without_validation_prompts_is_told():
    class Task:
        def prompts(self, split):
            return [], []

    with pytest.raises(AgentError, match="the split 'validation'"):
        evaluation.validation_rows(Task(), 8)
