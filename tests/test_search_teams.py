"""The page for search teams on a real shop: its blocks run with other data in place of the embedded sample."""

import importlib
import json
import shlex

import pytest

from envs_data import prepare_tables
from pages import blocks
from paths import ROOT, SHARED_DATA

SOURCE = SHARED_DATA / "home-depot"
MADE = 'gym.make("ospo_env:OSPO-ESCI-v0", compose="append")'


@pytest.mark.slow
@pytest.mark.skipif(not SOURCE.is_dir(), reason=f"no data at {SOURCE}")
def test_the_page_runs_on_a_real_shop(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tables = {name: SOURCE / f"{name}.csv" for name in ("queries", "qrels")}
    prepare_tables(**tables, documents=SOURCE / "documents.parquet", out=tmp_path / "data")
    printed, real = [], ["--env", "OSPO-Rewrite-v0", "--data", "data"]
    for language, content in blocks((ROOT / "docs" / "search-teams.md").read_text()):
        if language == "python":
            assert content.count(MADE) == 1
            exec(content.replace(MADE, 'gym.make("ospo_env:OSPO-Rewrite-v0", data="data", compose="append")'), {})
        elif language == "sh":
            _, program, *arguments = shlex.split(content)
            importlib.import_module(f"ospo_cli.{program}").main([*arguments, *real])  # the last --env counts
            printed.append(capsys.readouterr().out)
    explained, evaluated, free = printed
    found = json.loads((tmp_path / "phrases.json").read_text())
    assert (found["dataset"], found["synthetic"], found["queries"]) == ("own", False, 822)
    assert {"for women", "for professionals", "best price"} & set(found["stop"])
    assert found["without_stop_lists"]["change"][1] > 0
    gain = found["verdict"]["gain"]
    assert f"{gain[0]:.3f} [{gain[1]:.3f}, {gain[2]:.3f}]" in evaluated
    assert "it says nothing about quality" in free
    assert "real data" in explained
