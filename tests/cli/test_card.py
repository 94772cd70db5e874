"""The model card of a run: what it says is what the run and the evaluation say; nothing is sent unless asked."""

import json
import re

import pytest
from huggingface_hub import ModelCard

from ospo_agents import AgentError
from ospo_cli import card, evaluate
from ospo_cli._card import model_card
from small_run import repeated, run, write_data


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run and its evaluation."""
    root = tmp_path_factory.mktemp("card")
    out = run(root / "run", data=write_data(root), steps=2, warm_start_epochs=1)
    evaluate.main(
        [
            *("--env", "OSPO-ESCI-v0", *repeated(out), "--policy", "query", str(out)),
            *("--retrievers", "bm25,chargram", "--json", str(root / "evaluation.json")),
        ]
    )
    return out, root / "evaluation.json"


class Hub:
    """The calls that reach a hub."""

    calls = ()

    def create_repo(self, name, *, private, exist_ok):
        type(self).calls += (("create", name, private, exist_ok),)
        return f"https://hub.invalid/{name}"

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        type(self).calls += (("upload", repo_id, sorted(path.name for path in folder_path.iterdir())),)


def test_the_card_has_task_retriever_matrix_and_use(finished, capsys):
    out, evaluation = finished
    card.main(["--run", str(out), "--evaluation", str(evaluation)])
    assert capsys.readouterr().out == f"Wrote {out / 'policy' / 'README.md'}\n"
    text = (out / "policy" / "README.md").read_text()
    content = json.loads(evaluation.read_text())
    for retriever in ("bm25", "chargram"):
        mean, low, high = content["policies"][str(out)]["intervals"][retriever]["nDCG@10"]
        assert f"{mean:.3f} [{low:.3f}, {high:.3f}]" in text
    assert "| policy | bm25 | chargram |" in text
    assert "| environment | `OSPO-ESCI-v0` |" in text
    assert "| retriever | `bm25` |" in text
    assert "credit by `sampled_shapley` of `phrases`, laid on tokens by `additive`" in text
    assert "ospo evaluate --env OSPO-ESCI-v0 --policy query DIRECTORY --retrievers bm25" in text
    data = ModelCard(text).data
    assert (data.library_name, data.pipeline_tag) == ("transformers", "text-generation")
    values = {result.metric_name: result.metric_value for result in data.eval_results}
    for retriever in ("bm25", "chargram"):
        expected = content["policies"][str(out)]["metrics"][retriever]["nDCG@10"]
        assert values[f"nDCG@10 ({retriever})"] == pytest.approx(expected, abs=5e-5)


def test_the_base_is_named_where_it_is_a_hubs(finished):
    out, _ = finished
    manifest = json.loads((out / "run.json").read_text())
    for policy, base in (("owner/base", "owner/base"), (str(out), None), ("../secret/place", None), (None, None)):
        manifest["arguments"]["policy"] = policy
        assert ModelCard(model_card(manifest, None)).data.base_model == base


def test_its_python_runs(finished, capsys):
    out, _ = finished
    manifest = json.loads((out / "run.json").read_text())
    (block,) = re.findall(r"```python\n(.*?)```", model_card(manifest, None), re.DOTALL)
    exec(block.replace("DIRECTORY", str(out / "policy")), {})
    assert capsys.readouterr().out.startswith("[")


def test_push_uploads_the_policy_with_its_card(finished, monkeypatch, capsys):
    out, evaluation = finished
    monkeypatch.setattr("ospo_cli._card.HfApi", Hub)
    card.main(["--run", str(out), "--evaluation", str(evaluation), "--push", "owner/name", "--private"])
    created, (kind, name, files) = Hub.calls
    assert created == ("create", "owner/name", True, True)
    assert (kind, name) == ("upload", "owner/name")
    assert {"README.md", "model.safetensors", "prompt_format.json", "digests.json"} <= set(files)
    assert "https://hub.invalid/owner/name" in capsys.readouterr().out
    assert "--policy query owner/name" in (out / "policy" / "README.md").read_text()
    from ospo_agents.policies.language_model import LanguageModelPolicy

    assert LanguageModelPolicy.open(out / "policy")  # the card harms no digest


def test_a_hub_that_refuses_is_one_line(finished, monkeypatch):
    out, _ = finished

    class Refusing(Hub):
        def create_repo(self, name, **_):
            raise OSError("no token")

    monkeypatch.setattr("ospo_cli._card.HfApi", Refusing)
    with pytest.raises(AgentError, match="--push: owner/name could not be uploaded: no token"):
        card.main(["--run", str(out), "--push", "owner/name"])


def test_wrong_arguments(tmp_path, capsys):
    with pytest.raises(AgentError, match="--push: expected OWNER/NAME, got 'name'"):
        card.parse(["--run", "r", "--push", "name"])
    with pytest.raises(SystemExit):
        card.parse(["--run", "r", "--private"])
    assert "--private is for the repository of --push" in capsys.readouterr().err
    with pytest.raises(AgentError, match=r"expected a finished run of ospo train, but .* holds no run"):
        card.main(["--run", str(tmp_path)])
