"""Runs written by version 0.1.0, before policies carried digests and runs recorded what is newer: still read."""

import json

import pytest

from ospo_agents import AgentError
from ospo_agents.training import TrainingSettings
from ospo_cli import evaluate, report
from runs import interrupt
from small_run import manifest, repeated, run, weights, write_data

# The arguments that run.json of 0.1.0 held, in its order.
ARGUMENTS = """
    activation_checkpointing algo batch_size bf16 credit_separators data env gradient_accumulation group_size kl
    learning_rate load_4bit lora_alpha lora_rank loss_type max_completion_length max_words metric num_iterations out
    overwrite policy preset redistribution redistribution_settings retriever save_steps seed segmenter solution
    solution_settings steps temperature vllm warm_start_epochs warm_start_learning_rate
""".split()
SETTINGS = {"steps": 6, "save_steps": 2, "warm_start_epochs": 1}


def as_before(out):
    """Make a run directory what 0.1.0 would have written."""
    recorded = manifest(out)
    recorded["arguments"] = {name: recorded["arguments"][name] for name in ARGUMENTS}
    recorded["versions"]["ospo"] = "0.1"
    (out / "run.json").write_text(json.dumps(recorded, indent=2) + "\n")
    for digests in out.glob("*/digests.json"):
        digests.unlink()
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def test_an_unfinished_run_resumes_exactly_and_is_evaluated_and_reported(tmp_path, data, monkeypatch, capsys):
    whole = run(tmp_path / "whole", data=data, **SETTINGS)
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        interrupt(patched, 5)
        with pytest.raises(KeyboardInterrupt):
            run(out, data=data, **SETTINGS)
    with pytest.warns(UserWarning, match="written before policies carried digests"):
        run(as_before(out), "--resume")
    assert weights(out) == weights(whole)
    assert "started with ospo 0.1 (now" in capsys.readouterr().err

    as_before(out)
    metrics = out / "metrics.json"
    arguments = ["--env", "OSPO-ESCI-v0", "--data", str(data), "--split", "test", "--retrievers", "bm25"]
    with pytest.warns(UserWarning, match="written before policies carried digests"):
        evaluate.main([*arguments, "--policy", "query", str(out), str(whole), "--json", str(metrics)])
    rows = json.loads(metrics.read_text())["policies"]
    assert rows[str(out)]["metrics"] == rows[str(whole)]["metrics"]
    report.main([*repeated(out), "--run", str(out), "--evaluation", str(metrics), "--examples", "1"])
    assert "bm25: " in (out / "report.html").read_text()
    with pytest.warns(UserWarning, match="written before policies carried digests"):  # it writes the rewrites anew
        report.main([*repeated(out), "--run", str(out), "--examples", "1"])
    assert "Not evaluated yet" in (out / "report.html").read_text()


def test_a_run_without_a_known_argument_is_refused(tmp_path, data):
    """The negative control: what 0.1.0 held is needed."""
    out = as_before(run(tmp_path / "run", data=data, **SETTINGS))
    recorded = manifest(out)
    del recorded["arguments"]["retriever"]
    (out / "run.json").write_text(json.dumps(recorded))
    with pytest.raises(Exception, match="retriever"):
        report.main([*repeated(out), "--run", str(out), "--examples", "1"])


def test_recorded_segmenters_keep_their_meaning():
    """Owen has had a segmenter of its own since; a run that names the earlier default is of that one."""
    assert TrainingSettings.of({"solution": "owen", "segmenter": "phrases"}).segmenter == "phrases"
    assert TrainingSettings.of({"solution": "sampled_owen", "segmenter": "words"}).segmenter == "words"
    assert [
        TrainingSettings.of({"solution": name}).segmenter for name in ("owen", "sampled_owen", "shapley", None)
    ] == ["words-in-phrases", "words-in-phrases", "phrases", "phrases"]
    assert TrainingSettings(algo="grpo").segmenter is None
    with pytest.raises(AgentError, match="did you mean 'owen'"):
        TrainingSettings(solution="owne").check()
