"""Model card of a policy, from the manifest of its run and an evaluation; and the upload of a policy."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, HfApi, ModelCardData
from huggingface_hub.errors import HfHubHTTPError

from ospo_agents import AgentError
from ospo_cli._matrix import policy_labels
from ospo_cli._modes import modes_in_words
from ospo_env.evaluation.intervals import Interval

__all__ = ["model_card", "push"]

_DATA = {True: "synthetic data: it shows the method and says nothing about real shoppers", False: "real data"}


def model_card(manifest: Mapping[str, Any], evaluation: Mapping[str, Any] | None, name: str | None = None) -> str:
    """The card, Markdown below metadata in YAML.

    Args:
        manifest: The run's ``run.json``.
        evaluation: Content of the file of ``ospo evaluate --json``; None for a card without a matrix.
        name: Repository of the policy on a hub; None for its directory.
    """
    arguments = manifest["arguments"]
    metadata, place = _metadata(manifest, evaluation, name), name or "DIRECTORY"
    sections = [
        f"# {(name or 'A policy').split('/')[-1]}: rewrites of search queries",
        "",
        "A language model that rewrites a shopper's query for a product search engine. It was trained with "
        f"[OSPO](https://arxiv.org/abs/2601.08403)'s tools by `{arguments['algo']}`: the reward of a rewrite is "
        f"{arguments['metric']} of the ranking that {arguments['retriever']} gives it.",
        "",
        "## Task",
        "",
        *_table(("", ""), _facts(manifest)),
        "",
        "## Evaluation",
        "",
        *(_matrix(evaluation) if evaluation else ["Not evaluated: `ospo evaluate --json` and `ospo card` add it."]),
        "",
        "## Use",
        "",
        "```sh",
        f"ospo evaluate --env {arguments['env']} --policy query {place} --retrievers {arguments['retriever']}",
        "```",
        "",
        "In Python, where `policy` is a function from prompt ids and prompts to rewrites:",
        "",
        "```python",
        "from ospo_agents.policies.language_model import LanguageModelPolicy",
        "",
        f'policy = LanguageModelPolicy.open("{place}")',
        'print(policy(["any id"], ["i need flip flops for my wife"]))',
        "```",
        "",
        "Rewrites are made for the retriever and the corpus of training; the evaluation has others where it was asked. "
        f"`prompt_format.json` holds the conversation that the policy expects. Trained with {_versions(manifest)}.",
        "",
    ]
    return f"---\n{metadata.to_yaml()}\n---\n\n" + "\n".join(sections)


def push(policy: Path, name: str, *, private: bool) -> str:
    """Upload a policy's directory to a model repository; returns the address.

    Raises:
        AgentError: The hub refuses, for example for want of a token.
    """
    api = HfApi()
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=policy, commit_message="Policy of an OSPO run, with its card")
    except (HfHubHTTPError, OSError) as error:
        raise AgentError(f"--push: {name} could not be uploaded: {error}") from error
    return str(address)


def _metadata(manifest: Mapping[str, Any], evaluation: Mapping[str, Any] | None, name: str | None) -> ModelCardData:
    """Metadata by which hubs find and compare models; values are those of the policy after learning."""
    results = [
        EvalResult(
            task_type="text-generation",
            task_name="Query rewriting",
            dataset_type=evaluation["dataset"],
            dataset_name=f"{evaluation['env']} ({evaluation['dataset']}), ranked by {retriever}",
            dataset_split=evaluation["split"],
            metric_type=evaluation["metric"].split("@")[0].lower(),
            metric_name=f"{evaluation['metric']} ({retriever})",
            metric_value=round(float(row["metrics"][retriever][evaluation["metric"]]), 4),
        )
        for _, row in _own_rows(evaluation)
        for retriever in row["metrics"]
    ] if evaluation else []  # fmt: skip
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["ospo", "trl", "query-rewriting", "information-retrieval", "reinforcement-learning"],
        base_model=_hub_id(manifest["arguments"].get("policy")),
        model_name=name or "policy",
        eval_results=results or None,
    )


def _hub_id(policy: str | None) -> str | None:
    """The id of a model on a hub; a path of this machine is nobody else's business."""
    return policy if policy and re.fullmatch(r"[\w.-]+/[\w.-]+", policy) and not Path(policy).exists() else None


def _own_rows(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of policies of runs after learning; an evaluation of one run has one."""
    for policy, row in evaluation["policies"].items():
        if row["stage"] == "after RL":
            yield policy, row


def _facts(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    arguments = manifest["arguments"]
    yield "environment", f"`{arguments['env']}`"
    yield (
        "data",
        f"{manifest['dataset']}, {_DATA[manifest['synthetic']]}; SHA-256 `{manifest['data_fingerprint'][:16]}`",
    )
    yield "retriever", ", ".join(f"`{name}`" for name in arguments.get("reward_retrievers") or [arguments["retriever"]])
    yield "reward", f"`{arguments['metric']}`"
    yield "sent to the retriever", modes_in_words(arguments) or "the rewrite alone"
    yield (
        "learner",
        f"`{arguments['algo']}`"
        + (
            f", credit by `{arguments['solution']}` of `{arguments['segmenter']}`, laid on tokens by "
            f"`{arguments['redistribution']}`"
            if arguments["algo"] == "ospo"
            else ""
        ),
    )
    yield "training", f"{arguments['steps']} steps, {manifest['rollouts']:,} rollouts, seed {arguments['seed']}"
    yield "started from", f"`{arguments['policy']}`" if arguments.get("policy") else "a tiny model from scratch"


def _matrix(evaluation: Mapping[str, Any]) -> list[str]:
    """The metric of every policy under every retriever, with intervals over queries."""
    rows, metric = evaluation["policies"], evaluation["metric"]
    labels, retrievers = policy_labels(rows), list(next(iter(rows.values()))["metrics"])
    head = f"{metric} on {evaluation['queries']} {evaluation['split']} queries, mean [95 % interval over queries]:"
    cells = [
        (labels[policy], *(str(Interval.of_json(row["intervals"][name][metric])) for name in retrievers))
        for policy, row in rows.items()
    ]
    return [head, "", *_table(("policy", *retrievers), cells)]


def _table(head: tuple[str, ...], rows: Any) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _versions(manifest: Mapping[str, Any]) -> str:
    names = [name for name in ("ospo", "trl", "transformers", "torch") if name in manifest["versions"]]
    return ", ".join(f"{name} {manifest['versions'][name]}" for name in names)
