"""What a run directory, a rewrites file or a stored view may name."""

from pathlib import Path

import pytest

from ospo_agents import AgentError
from ospo_cli._recorded import recorded_data, recorded_env, recorded_retriever
from ospo_env.retrievers.registry import _KINDS, resolve_retriever

RUN = Path("runs/x")


@pytest.mark.parametrize(
    "spec",
    ["bm25", "lsa?dimensions=64", "chargram", "fusion:bm25+lsa?method=reciprocal_rank", "fusion:lsa%3Fseed=1+bm25"],
)
def test_registered_local_kinds_are_taken(spec):
    assert recorded_retriever(spec, source=RUN) == spec


@pytest.mark.parametrize(
    "spec",
    [
        "pty:spawn",
        "bm25:x",
        "dense:/models/minilm",
        "dense:all-mpnet-base-v2?hub=true",
        "rerank:/models/x?first=pty:spawn",
        "fusion:bm25+pty:spawn",
        "fusion:bm25+pty%3Aspawn",
        "fusion:fusion%253Apty",
        "fusion",
        "elasticsearch:http://other/index",
        "unknown",
        "",
        "bm25\n",
        *(f"{name}:x" for name, kind in sorted(_KINDS.items()) if kind.argument and name != "fusion"),
        *(f"fusion:bm25+{name}%3Ax" for name, kind in sorted(_KINDS.items()) if kind.argument),
    ],
)
def test_everything_else_is_asked_for(spec):
    with pytest.raises(AgentError, match="--ranked-by") as caught:
        recorded_retriever(spec, source=RUN, option="--ranked-by")
    assert str(RUN) in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, ["bm25"], {"a": 1}])
def test_what_is_no_text_is_refused(value):
    for check in (recorded_retriever, recorded_env):
        with pytest.raises(AgentError, match="expected"):
            check(value, source=RUN)


def test_ids_with_a_module_are_refused():
    assert recorded_env("OSPO-HM-v0", source=RUN) == "OSPO-HM-v0"
    with pytest.raises(AgentError, match="repeat it: --env this:OSPO-HM-v0"):
        recorded_env("this:OSPO-HM-v0", source=RUN)


def test_the_refused_one_would_be_found():
    """The negative control: the registry itself imports what a specification names."""
    assert callable(resolve_retriever("pty:spawn"))


def test_data_outside_the_run_are_asked_for(tmp_path):
    run = tmp_path / "run"
    assert recorded_data(None, source=run) is None
    assert recorded_data(str(run / "data"), source=run) == run / "data"
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (str(tmp_path / "data"), f"{run}/../data", "/etc", "data", f"{tmp_path}/link/data", str(tmp_path)):
        with pytest.raises(AgentError, match=r"lie outside its directory; .*repeat it: --data ") as refused:
            recorded_data(path, source=run)
        assert path in str(refused.value)
    with pytest.raises(AgentError, match="expected the path"):
        recorded_data(3, source=run)
