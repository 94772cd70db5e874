"""The page for search teams on a real shop: its blocks run with other data in place of the embedded sample."""

import importlib
import json

import pytest

from envs_data import prepare_tables
from page_servers import Servers
from pages import blocks, commands
from paths import ROOT, SHARED_DATA

HEADING = "## On your engine"
SOURCE = SHARED_DATA / "home-depot"
MADE = 'gym.make("ospo_env:OSPO-ESCI-v0", compose="append")'


@pytest.fixture
def real(tmp_path, monkeypatch):
    """Options that name a real shop in place of the embedded one; the shop lies in the working directory."""
    if not SOURCE.is_dir():
        pytest.skip(f"no data at {SOURCE}")
    monkeypatch.chdir(tmp_path)
    tables = {name: SOURCE / f"{name}.csv" for name in ("queries", "qrels")}
    prepare_tables(**tables, documents=SOURCE / "documents.parquet", out=tmp_path / "data")
    return ["--env", "OSPO-Rewrite-v0", "--data", "data"]


def run_blocks(page, real, capsys, servers):
    """Run blocks with other data; what each command printed."""
    printed = []
    for language, content in blocks(page):
        if language == "python":
            assert content.count(MADE) == 1
            exec(content.replace(MADE, 'gym.make("ospo_env:OSPO-Rewrite-v0", data="data", compose="append")'), {})
        elif language == "sh":
            for words in commands(content):
                if words[0] == "curl":
                    printed.append(servers.ask(words))
                elif words[1] == "serve":
                    servers.start([*words[2:-1], *real, words[-1]])
                else:
                    importlib.import_module(f"ospo_cli.{words[1]}").main([*words[2:], *real])  # the last --env counts
                    printed.append(capsys.readouterr().out)
    return printed


@pytest.mark.slow
def test_the_page_runs_on_a_real_shop(real, tmp_path, capsys):
    page, engine, _ = (ROOT / "docs" / "search-teams.md").read_text().partition(HEADING)
    assert engine
    explained, evaluated, free = run_blocks(page, real, capsys, None)
    found = json.loads((tmp_path / "phrases.json").read_text())
    assert (found["dataset"], found["synthetic"], found["queries"]) == ("own", False, 822)
    assert {"for women", "for professionals", "best price"} & set(found["stop"])
    assert found["without_stop_lists"]["change"][1] > 0
    gain = found["verdict"]["gain"]
    assert f"{gain[0]:.3f} [{gain[1]:.3f}, {gain[2]:.3f}]" in evaluated
    assert "it says nothing about quality" in free
    assert "real data" in explained


@pytest.mark.exhaustive
def test_the_whole_page_runs_on_a_real_shop_and_its_engine(real, capsys):
    pytest.importorskip("tantivy", reason="tantivy is not installed")
    with Servers() as servers:
        printed = run_blocks((ROOT / "docs" / "search-teams.md").read_text(), real, capsys, servers)
    explained, evaluated, _, health, plain, full, metrics = printed[3:]
    assert "822 rewrites of 822 queries" in explained
    assert "change " in evaluated
    assert json.loads(health)["dataset"] == "own"
    assert {"rewrite", "sent", "reason", "phrases"} == set(json.loads(plain)) == set(json.loads(full))
    assert json.loads(plain)["sent"].startswith("shoes for the beach")
    assert "ospo_guard_total" in metrics
