"""What each package may import, and the floors inside each: a new module gets its place here."""

FOLDERS = {
    "envs_data": "envs_data",
    "ospo_env": "ospo_env",
    "ospo_agents": "agents/ospo_agents",
    "ospo_cli": "scripts/ospo_cli",
}
LEARNERS = {"torch", "transformers", "trl", "peft", "accelerate", "stable_baselines3", "datasets"}
FORBIDDEN = {
    "ospo_agents": {"ospo_env", "envs_data", "ospo_cli"},
    "ospo_env": {"ospo_agents", "ospo_cli"} | LEARNERS,
    "envs_data": {"ospo_agents", "ospo_env", "ospo_cli", "gymnasium"} | LEARNERS,
}
FLOORS = {
    "envs_data": [
        "csv_shape errors files",
        "cache layout",
        "documents manifest splits",
        "prepared",
        "writing",
        "assembly",
        "custom official sample",
        "__init__",
    ],
    "envs_data.assembly": ["pools words", "demonstrations shared_words", "__init__"],
    "envs_data.custom": [
        "faults",
        "json_lines separated",
        "formats",
        "values",
        "tables",
        "beir",
        "prepare",
        "__init__",
    ],
    "envs_data.official": ["sources", "esci_files hm_files", "esci hm", "__init__"],
    "envs_data.sample": [
        "fashion_words lexicon shopping_words",
        "demonstrations shop",
        "fashion shopping tables",
        "cache",
        "__init__",
    ],
    "ospo_env": [
        "errors outcomes registration text",
        "data_access metrics prompts spaces",
        "rendering retrievers",
        "scoring",
        "task",
        "env",
        "evaluation vector wrappers",
        "conformance",
        "__init__",
    ],
    "ospo_env.retrievers": [
        "base models storage unpadded vocabulary",
        "encoder pool_sums specs terms vectors",
        "bm25 chargram dense fusion lsa rerank",
        "registry",
        "__init__",
    ],
    "ospo_env.scoring": [
        "candidate_pools coalitions text_cache",
        "base coalition_plans",
        "corpus_scorer pool_scorer",
        "__init__",
    ],
    "ospo_env.evaluation": ["feedback intervals rewrites trec", "reference_policies summary", "__init__"],
    "ospo_env.wrappers": ["phrases", "choices", "numeric", "__init__"],
    "ospo_env.conformance": ["messages other_process", "environment retriever", "__init__"],
    "ospo_env.conformance.environment": ["case", "episodes rewards", "clauses", "__init__"],
    "ospo_env.conformance.retriever": ["case", "elsewhere scores sums", "copies", "clauses", "__init__"],
    "ospo_agents": [
        "errors files offsets protocols",
        "alignment rollouts segments",
        "advantages answers credit",
        "assignment policies stopwatch",
        "trl_task",
        "trainer",
        "training",
        "__init__",
    ],
    "ospo_agents.credit": [
        "coalitions",
        "game_model marginals sampled shapley_value windows",
        "interpolated state_value",
        "owen_value",
        "table",
        "__init__",
    ],
    "ospo_agents.policies": ["loading prompt_format request_deadline tiny", "endpoint language_model", "__init__"],
    "ospo_agents.training": [
        "processes run_directory",
        "checkpoints curves preferences progress warm_start",
        "learners pairs",
        "stages",
        "__init__",
    ],
    "ospo_cli": [
        "_cli _evaluation_files _matrix _official_size _preparation _sb3_log _tasks",
        "_arguments _explanation _sb3",
        "_benchmark _explanation_page _policies _report _study",
        "_evaluation",
        "benchmark evaluate explain make_official_size prepare report study train train_sb3",
        "main",
        "__main__",
        "__init__",
    ],
    "ospo_cli._benchmark": [
        "open_and_step plan reference rows work",
        "curves engine environments real_size report",
        "training",
        "measure",
        "__init__",
    ],
    "ospo_cli._official_size": ["words", "esci hm", "write", "__init__"],
    "ospo_cli._report": ["runs", "curves", "page", "report", "__init__"],
    "ospo_cli._study": ["numbers plan", "cells plots tables", "accuracy", "processes", "parts", "__init__"],
}
"""The floors of each package, the lowest first. Neighbours on a floor do not know each other."""
CORE = [
    f"ospo_agents.{name}"
    for name in (
        "advantages",
        "alignment",
        "answers",
        "assignment",
        "credit",
        "errors",
        "files",
        "offsets",
        "protocols",
        "rollouts",
        "segments",
    )
]
"""The learner's core, which needs NumPy and the standard library only."""
