"""A run killed at any moment and resumed ends with the parameters of one that was not."""

import itertools
import json
import re
import shutil
import sys

import pytest

from ospo_agents import AgentError
from ospo_agents.calls import DEFAULT_CALLS
from ospo_agents.training import checkpoints
from ospo_cli import train
from ospo_env import TaskError
from runs import interrupt, without_times
from small_run import SETTINGS, log, manifest, run, weights, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


CASES = {
    "ospo": {"algo": "ospo", "retriever": "lsa"},
    "ospo, rollouts used twice, in parts": {"algo": "ospo", "num_iterations": 2, "gradient_accumulation": 2},
    "ospo, few calls": {"algo": "ospo", "retriever": "fusion:bm25+lsa", "segmenter": "words", "calls": 5},
    "ospo on an adapter, with KL": {"algo": "ospo", "lora_rank": 4, "kl": 0.1},
    "grpo with KL": {"algo": "grpo", "kl": 0.1},
    "rloo": {"algo": "rloo"},
    "dpo": {"algo": "dpo", "max_completion_length": 48},
    "sft": {"algo": "sft"},
}


@pytest.mark.parametrize("case", CASES)
def test_every_learner_resumes_exactly(tmp_path, warm_started, monkeypatch, case):
    """Interrupted in the third pass over the prompts, one step after a checkpoint."""
    settings = {**warm_started, "steps": 11, "save_steps": 2, **CASES[case]}
    whole = run(tmp_path / "whole", **settings)
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        interrupt(patched, 9)
        with pytest.raises(KeyboardInterrupt):
            run(out, **settings)
    assert [path.name for path in (out / "checkpoints").glob("checkpoint-*")] == ["checkpoint-8"]
    assert [row["step"] for row in log(out)] == list(range(1, 10))
    if case == "ospo":
        forgetful = shutil.copytree(out, tmp_path / "forgetful")
    run(out, "--resume", **settings)
    assert weights(out) == weights(whole)
    assert weights(out) != weights(out, "warmstart")  # it did learn
    assert without_times(log(out)) == without_times(log(whole))
    for key in ("rollouts", "groups", "groups_without_spread"):
        assert manifest(out).get(key) == manifest(whole).get(key)
    assert manifest(out)["evaluations"]["asked"] == manifest(whole)["evaluations"]["asked"]
    seconds = [row["seconds"] for row in log(out)]
    assert seconds == sorted(seconds)
    if "retriever" in CASES[case]:  # what is estimated is counted, and nothing is where coalitions are sums
        assert (log(whole)[-1]["evaluations/estimated"] > 0) == ("calls" in CASES[case])
        assert manifest(out)["arguments"]["calls"] == CASES[case].get("calls", 0)
        assert ("over_calls" in log(whole)[-1]) == ("calls" in CASES[case])
    if case == "ospo":  # negative control: transformers alone would begin the passes over the prompts anew
        monkeypatch.setattr(checkpoints.Checkpoints, "on_train_begin", lambda *_, **__: None)
        assert weights(run(forgetful, "--resume")) != weights(whole)


def test_preference_pairs_are_drawn_once(tmp_path, warm_started, monkeypatch):
    settings = {**warm_started, "steps": 6, "algo": "dpo", "max_completion_length": 48}
    whole = run(tmp_path / "whole", **settings)
    out = tmp_path / "run"
    from ospo_agents.training import pairs

    sample = pairs.sample_preferences
    with monkeypatch.context() as patched:

        def interrupted(*arguments, **named):
            yield from itertools.islice(sample(*arguments, **named), 2)
            raise KeyboardInterrupt

        patched.setattr(pairs, "sample_preferences", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(out, **settings)
    drawn = (out / "pairs.jsonl").read_bytes()
    assert len(drawn.splitlines()) == 2
    (out / "pairs.jsonl").write_bytes(drawn + b'{"groups": [')
    run(out, "--resume", **settings)
    assert (out / "pairs.jsonl").read_bytes().startswith(drawn)
    assert drawn_groups(out) == drawn_groups(whole)
    assert weights(out) == weights(whole)
    assert manifest(out)["evaluations"]["asked"] == manifest(whole)["evaluations"]["asked"] == manifest(out)["rollouts"]


def drawn_groups(out):
    return [json.loads(line)["groups"] for line in (out / "pairs.jsonl").read_text().splitlines()]


def test_the_default_of_calls_is_recorded(tmp_path, warm_started):
    settings = {**warm_started, "steps": 1, "algo": "ospo", "segmenter": "words"}
    few = run(tmp_path / "few", retriever="fusion:bm25+lsa", **settings)
    assert manifest(few)["arguments"]["calls"] == DEFAULT_CALLS
    for retriever, calls in (("bm25", ()), ("fusion:bm25+lsa", ("--calls", "0"))):
        every = run(tmp_path / retriever, *calls, retriever=retriever, **settings)
        assert manifest(every)["arguments"]["calls"] == 0
        assert manifest(every)["evaluations"]["estimated"] == 0


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory, data):
    out = tmp_path_factory.mktemp("unfinished") / "run"
    with pytest.MonkeyPatch.context() as patched:
        interrupt(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            run(out, data=data, steps=4, save_steps=2, warm_start_epochs=1)
    return out


@pytest.mark.parametrize(
    ("flags", "change", "message"),
    [
        (["--resume"], {"steps": 5}, "--steps 4 .now 5."),
        (["--resume"], {"steps": 5, "seed": 1}, "--seed 0 .now 1., --steps 4 .now 5."),
        (["--resume"], {"learning_rate": "1e-3"}, "--learning-rate 0.0003 .now 0.001."),
        (["--resume"], {"algo": "sft"}, "--algo ospo .now sft."),
        (["--resume"], {"data": "elsewhere"}, "--data .*now elsewhere"),
        (["--resume", "--preset", "demo"], {}, "--preset None .now demo."),
        (["--resume", "--overwrite"], {}, "give one of them"),
        ([], {}, "go on with it .*--resume"),
    ],
)
def test_changed_arguments_are_named(unfinished, data, flags, change, message):
    before = {path.name: path.stat().st_mtime_ns for path in unfinished.iterdir()}
    settings = {"data": data, "steps": 4, "save_steps": 2, **SETTINGS, "warm_start_epochs": 1, **change}
    with pytest.raises(AgentError, match=message) as caught:
        run(unfinished, *flags, **settings)
    assert "\n" not in str(caught.value)
    assert {path.name: path.stat().st_mtime_ns for path in unfinished.iterdir()} == before


@pytest.mark.parametrize(("key", "message"), [("data_fingerprint", "another data"), ("processes", "number of proc")])
def test_other_data_is_not_resumed(unfinished, tmp_path, key, message):
    out = copied(unfinished, tmp_path)
    spoil(out, {key: "other"})
    with pytest.raises(AgentError, match=message):
        run(out, "--resume")


EVIL = """
from pathlib import Path
Path(__file__).with_name("ran").write_text("")
def factory(corpus):
    raise RuntimeError
"""


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"retriever": "evil:factory"}, "--retriever evil:factory"),
        ({"retriever": "fusion:bm25+evil:factory"}, "--retriever fusion:bm25+evil:factory"),
        ({"retriever": "dense:/models/other"}, "--retriever dense:/models/other"),
        ({"env": "evil:OSPO-ESCI-v0"}, "--env evil:OSPO-ESCI-v0"),
    ],
)
def test_a_run_directory_runs_no_code(unfinished, tmp_path, monkeypatch, change, option):
    (tmp_path / "evil.py").write_text(EVIL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    out = copied(unfinished, tmp_path)
    spoil(out, {"arguments": manifest(out)["arguments"] | change})
    with pytest.raises(AgentError, match=f"repeat it: {re.escape(option)}$") as caught:
        run(out, "--resume")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()
    ((name, value),) = change.items()
    with pytest.raises((TaskError, AgentError)):  # negative control: the command line imports retrievers
        run(out, "--resume", **{name: value})
    assert (tmp_path / "ran").exists() == (name == "retriever" and "evil" in value)


def test_a_policy_outside_the_run_is_opened_on_demand_only(unfinished, tmp_path):
    out = copied(unfinished, tmp_path)
    policy = shutil.move(out / "warmstart", tmp_path / "policy")
    spoil(out, {"arguments": manifest(out)["arguments"] | {"policy": str(policy)}})
    with pytest.raises(AgentError, match=f"repeat it: --policy {policy}"):
        run(out, "--resume")
    run(out, "--resume", policy=policy)
    assert manifest(out)["status"] == "finished"


def test_data_outside_the_run_are_opened_on_demand_only(unfinished, tmp_path, data, monkeypatch):
    out = copied(unfinished, tmp_path)
    assert manifest(out)["arguments"]["data"] == str(data)
    with monkeypatch.context() as patched:
        patched.setattr("envs_data.load_prepared", None)
        with pytest.raises(AgentError, match=f"lie outside its directory; .*repeat it: --data {data}$"):
            train.main(["--resume", "--out", str(out)])
    train.main(["--resume", "--out", str(out), "--data", str(data)])  # the negative control
    assert manifest(out)["status"] == "finished"


# What run.json held before settings were a class of their own, in its order.
FIRST_ARGUMENTS = """activation_checkpointing algo batch_size bf16 credit_separators data env gradient_accumulation
    group_size kl learning_rate load_4bit lora_alpha lora_rank loss_type max_completion_length max_words metric
    num_iterations out overwrite policy preset redistribution redistribution_settings retriever save_steps seed
    segmenter solution solution_settings steps temperature vllm warm_start_epochs warm_start_learning_rate""".split()


def test_a_run_of_the_first_format_goes_on(unfinished, tmp_path, data):
    """Its run.json names no setting that came later; their defaults are what it had."""
    out = copied(unfinished, tmp_path)
    arguments = manifest(out)["arguments"]
    assert [name for name in arguments if name in FIRST_ARGUMENTS] == FIRST_ARGUMENTS
    spoil(out, {"arguments": {name: arguments[name] for name in FIRST_ARGUMENTS}})
    run(out, "--resume")
    assert manifest(out)["status"] == "finished"
    assert manifest(out)["arguments"] == arguments | {"out": str(out)}
    whole = run(tmp_path / "whole", data=data, steps=4, save_steps=2, warm_start_epochs=1)
    assert weights(out) == weights(whole)


def copied(run_directory, tmp_path):
    return shutil.copytree(run_directory, tmp_path / "run")


def spoil(out, change):
    (out / "run.json").write_text(json.dumps(manifest(out) | change))


def test_a_run_is_resumed_by_its_name_alone(unfinished, tmp_path, capsys):
    out = copied(unfinished, tmp_path)
    spoil(out, {"versions": manifest(out)["versions"] | {"trl": "1.0"}})
    run(out, "--resume", save_steps=3)
    assert "warning: started with trl 1.0 (now " in capsys.readouterr().err
    assert [row["step"] for row in log(out)] == [1, 2, 3, 4]
    policy = weights(out)
    run(out, "--resume")
    assert "is finished" in capsys.readouterr().out
    assert weights(out) == policy


def test_what_was_being_replaced_is_not_resumed(unfinished, tmp_path):
    """Killed while an earlier run was removed: none of its files is taken for the new run's."""
    out = copied(unfinished, tmp_path)
    (out / "warmstart" / "model.safetensors").write_bytes(b"old")
    spoil(out, {"status": "clearing"})
    run(out, "--resume")
    assert [row["step"] for row in log(out)] == [1, 2, 3, 4]
    assert manifest(out)["status"] == "finished"


def test_what_cannot_be_resumed(tmp_path):
    with pytest.raises(AgentError, match="holds no run"):
        run(tmp_path / "nothing", "--resume")
    with pytest.raises(AgentError, match="expected --out"):
        train.main(["--resume"])
    with pytest.raises(AgentError, match="multiple of --num-iterations 2"):
        run(tmp_path / "run", num_iterations=2, save_steps=3)
    assert not any(tmp_path.iterdir())
