"""The report: what stands in it, that text of data and models stays text, and how a browser takes it."""

import dataclasses
import json
import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from browser import ABSENT, CHROMIUM, browser
from envs_data import write_prepared
from ospo_agents import AgentError
from ospo_agents.policies.language_model import LanguageModelPolicy
from ospo_agents.segments import phrases
from ospo_cli import evaluate, report
from ospo_cli._report.curves import block_means, learning_curves, step_band
from ospo_cli._report.runs import read_runs, same_settings
from ospo_env import TaskError
from ospo_env.evaluation.intervals import seed_interval
from paths import ROOT
from shop import shop
from small_run import manifest, repeated, run

ARTEFACTS = Path(os.environ.get("OSPO_ARTEFACTS", ROOT / "runs" / "artefacts"))
SCRIPT = "<script>console.error('from a title')</script>"
HANDLER = "\"'><img src=x onerror=console.error('from_a_query')>"
WRITTEN = "red</span></main><script>console.error('written')</script>, coat, blue &amp; wool\x1b{{ 7 * 7 }}"
in_chromium = pytest.mark.skipif(CHROMIUM is None, reason=ABSENT)


def poisoned(directory):
    """The test shop under the name of a real data set, with markup in all that a reader sees of it."""
    data = shop()
    tables = {name: getattr(data, name) for name in ("queries", "pools", "qrels", "demonstrations")}
    tables["queries"] = tables["queries"].with_columns(pl.col("query") + HANDLER)
    tables["documents"] = data.documents.frame.with_columns(pl.col("title") + SCRIPT, pl.col("doc_id") + '"<b>')
    write_prepared(directory, tables, dataset="esci", synthetic=True, arguments={}, sources={}, counts={})
    return directory


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run and its evaluation; the directory's name is markup too."""
    directory = tmp_path_factory.mktemp("report")
    out = run(directory / "a&lt;<i>$^$run", data=poisoned(directory / "data"), steps=12, warm_start_epochs=1)
    command = ["--env", "OSPO-ESCI-v0", "--data", str(directory / "data"), "--json", str(out / "metrics.json")]
    evaluate.main([*command, "--policy", "query", str(out / "warmstart"), str(out)])
    return out


@pytest.fixture(scope="module")
def page(trained):
    """The report, with a policy that writes markup."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LanguageModelPolicy, "__call__", lambda self, ids, prompts: [WRITTEN, *[""] * (len(ids) - 1)])
        report.main(
            [
                *repeated(trained),
                "--run",
                str(trained),
                "--evaluation",
                str(trained / "metrics.json"),
                "--queries",
                "q03",
                "q00",
            ]
        )
    return trained / "report.html"


def another(trained, out, **arguments):
    """A copy of a run that says it had other arguments."""
    shutil.copytree(trained, out)
    found = manifest(out)
    (out / "run.json").write_text(json.dumps({**found, "arguments": found["arguments"] | arguments}))
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    rows = [{**row, "reward": row["reward"] / 2} if "reward" in row else row for row in rows]
    (out / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return out


class Reader(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def is_inert(html):
    """Whether a page holds no script, no handler, and nothing that is fetched."""
    tags = Reader(html).tags
    fetched = [given[name] for _, given in tags for name in ("src", "href") if name in given]
    return (
        all(tag not in ("script", "iframe", "object", "link") for tag, _ in tags)
        and not any(name.startswith("on") for _, given in tags for name in given)
        and all(address.startswith(("data:image/png;base64,", "#")) for address in fetched)
    )


def test_text_of_data_and_models_stays_text(page):
    html = page.read_text()
    assert is_inert(html)
    shown = "".join(Reader(html).words)
    pieces = [WRITTEN[start:end].strip() for start, end in phrases(WRITTEN)]
    assert "script>," in pieces
    for text in (SCRIPT, HANDLER, *pieces):
        assert text in shown
    assert str(page.parent) in shown


@pytest.mark.parametrize(
    "unescaped", ["<script>1</script>", "<img src='https://example.org/x.png'>", "<p onclick='x'>", "<img src=x>"]
)
def test_what_is_not_text_is_found(page, unescaped):
    """The negative control of the test above."""
    assert not is_inert(page.read_text().replace("</main>", f"{unescaped}</main>"))


def test_a_page_says_what_it_is_made_of(page, trained):
    html = page.read_text()
    shown = "".join(Reader(html).words)
    found = manifest(trained)
    assert found["command"] in shown
    assert found["data_fingerprint"] in shown
    for values in (found["arguments"], found["versions"]):
        for name, value in values.items():
            assert name in shown
            assert (value if isinstance(value, str) else json.dumps(value)) in shown
    assert shown.count("★ relevant") + shown.count("☆ partly") > 2
    assert "The policy wrote no rewrite here" in shown
    evaluation = json.loads((trained / "metrics.json").read_text())["policies"]["query"]["metrics"]["lsa"]
    assert {f"{value:.3f}" for value in evaluation.values()} <= set(" ".join(Reader(html).words).split())


def test_the_same_run_gives_the_same_page(trained, tmp_path):
    pages = []
    for seed in ("1", "1", "2"):
        report.main(
            [
                *repeated(trained),
                "--run",
                str(trained),
                "--seed",
                seed,
                "--examples",
                "2",
                "--out",
                str(tmp_path / "page.html"),
            ]
        )
        pages.append((tmp_path / "page.html").read_bytes())
    assert pages[0] == pages[1] != pages[2]
    assert b"2 of 3 test queries, drawn with seed 1." in pages[0]
    assert b"No evaluation was given" in pages[0]


def test_seeds_become_one_curve(trained, tmp_path):
    seeds = [another(trained, tmp_path / f"{seed}", seed=seed) for seed in (1, 2)]
    grpo = another(trained, tmp_path / "grpo", algo="grpo", policy="$^$")
    groups = same_settings(read_runs([trained, *seeds, grpo]))
    assert [len(group) for group in groups] == [3, 1]
    together, alone = learning_curves(groups)
    assert together.label == "OSPO, 3 seeds"
    assert alone.label == "GRPO, policy $^$, seed 0"
    each = [learning_curves([[one]])[0].points for one in groups[0]]
    for point, *of_seeds in zip(together.points, *each, strict=True):
        assert point.reward == seed_interval([one.reward.value for one in of_seeds])
        assert point.reward.high > point.reward.low
    assert [(point.first, point.last) for point in together.points] == [(1, 5), (6, 12)]
    report.main(
        [
            *repeated(trained),
            "--run",
            *map(str, [trained, *seeds, grpo]),
            "--examples",
            "1",
            "--out",
            str(tmp_path / "x.html"),
        ]
    )
    assert "mean over the seeds" in (tmp_path / "x.html").read_text()


def test_a_run_that_names_no_later_setting_had_its_default(trained, tmp_path):
    earlier = another(trained, tmp_path / "earlier", seed=1)
    content = manifest(earlier)
    for name in ("eval_steps", "eval_prompts", "keep", "trl"):
        del content["arguments"][name]
    (earlier / "run.json").write_text(json.dumps(content))
    assert [len(group) for group in same_settings(read_runs([trained, earlier]))] == [2]
    other = another(trained, tmp_path / "other", seed=2, trl={"weight_decay": 0.1})
    assert [len(group) for group in same_settings(read_runs([trained, earlier, other]))] == [2, 1]


def test_blocks_of_steps():
    rewards = [(step, step / 100) for step in range(1, 104)]
    points = block_means(rewards)
    assert [point.first for point in points] == list(range(1, 103, 6))[:17]
    assert points[-1].last == 103
    assert points[0].reward == seed_interval([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    assert [(point.first, point.last) for point in block_means(rewards[:3])] == [(1, 3)]
    low, high = step_band(0.5, 0.1, 4)
    assert (low, high) == pytest.approx((0.5 - 3.18245 * 0.05, 0.5 + 3.18245 * 0.05), abs=1e-5)


def test_a_learner_without_rewards_has_no_curve_of_them(trained, tmp_path):
    found = read_runs([trained])[0]
    silent = dataclasses.replace(found, rows=[{"step": 1, "loss": 1.0, "reward": None}])
    assert learning_curves([[silent]]) == []
    sft = another(trained, tmp_path / "sft", algo="sft", segmenter=None)
    (sft / "log.jsonl").write_text(json.dumps({"step": 1, "loss": 1.0}) + "\n")
    report.main([*repeated(sft), "--run", str(sft), "--examples", "1"])
    assert "SFT logs no reward while it learns" in (sft / "report.html").read_text()


def spoil(trained, out, **values):
    shutil.copytree(trained, out)
    (out / "run.json").write_text(json.dumps(manifest(out) | values))
    return str(out)


def test_data_outside_the_run_are_opened_on_demand_only(trained):
    with pytest.raises(AgentError, match="which a file may not choose since they lie outside its directory") as refused:
        report.main(["--run", str(trained)])
    assert f"repeat it: {' '.join(repeated(trained))}" in str(refused.value)


def test_wrong_input(trained, tmp_path):
    first = str(trained)
    whole = json.loads((trained / "metrics.json").read_text())
    (tmp_path / "other.json").write_text(json.dumps(whole | {"data_fingerprint": "f" * 64}))
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "cut.json").write_text("{")
    unfinished = spoil(trained, tmp_path / "unfinished", status="unfinished")
    changed = spoil(trained, tmp_path / "changed", data_fingerprint="0" * 64)
    twin = str(another(trained, tmp_path / "twin"))
    other = str(another(trained, tmp_path / "rr", metric="RR"))
    for command, message in (
        (["--run", str(tmp_path)], "expected a finished run of ospo train, but .* holds no run"),
        (["--run", unfinished], "a run that is unfinished"),
        (["--run", changed], "was trained on the data 0{16}, but"),
        (["--run", first, changed], "expected runs of one data_fingerprint"),
        (["--run", first, other], "expected runs of one metric, but .* has RR"),
        (["--run", first, first], "is given twice"),
        (["--run", first, twin], "the same settings and the seed 0; leave one out"),
        (["--run", first, "--evaluation", str(tmp_path / "other.json")], "evaluate the run on its own data"),
        (["--run", first, "--evaluation", str(tmp_path / "list.json")], "is none; evaluate again"),
        (
            ["--run", first, "--evaluation", str(tmp_path / "cut.json")],
            "expected a file that ospo evaluate --json wrote",
        ),
        (["--run", first, "--queries", "q99"], "unknown prompt id 'q99'"),
        (["--run", first, "--examples", "0"], "--examples: expected at least 1"),
        (["--run", first, "--solution", "shaply"], "did you mean 'shapley'"),
        (["--run", first, "--out", str(tmp_path)], "is a directory"),
    ):
        with pytest.raises((AgentError, TaskError), match=message):
            report.main([*repeated(trained), *command])


def test_an_evaluation_of_one_query_has_no_intervals(trained, tmp_path):
    evaluation = json.loads((trained / "metrics.json").read_text())
    for row in evaluation["policies"].values():
        row["intervals"] |= {"lsa": {name: [0.5, None, None] for name in row["metrics"]["lsa"]}}
    (tmp_path / "one.json").write_text(json.dumps(evaluation))
    command = ["--run", str(trained), "--evaluation", str(tmp_path / "one.json"), "--examples", "1"]
    report.main([*repeated(trained), *command, "--out", str(tmp_path / "page.html")])
    assert "0.500 [unknown]" in "".join(Reader((tmp_path / "page.html").read_text()).words)


def test_the_policy_is_opened_where_evaluate_opens_it(trained, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(LanguageModelPolicy, "open", lambda path: opened.append(path) or (lambda *_: ["red"]))
    report.main([*repeated(trained), "--run", str(trained), "--examples", "1", "--out", str(tmp_path / "report.html")])
    assert opened == [trained / "policy"]


# In a browser


@in_chromium
def test_a_browser_shows_it_whole(page, tmp_path):
    for name, width, dark in (("light", 1200, False), ("dark", 1200, True), ("narrow", 390, False)):
        with browser(tmp_path / name) as opened:
            opened.open(page, width=width, dark=dark)
            assert opened.complaints == []
            assert opened.requests == []
            images = opened.images()
            assert len(images) == 3
            assert all(alternative and drawn for alternative, drawn in images)
            assert not opened.scrolls_sideways()
            text = opened.text()
            assert SCRIPT in text
            assert HANDLER in text
            assert opened.value("document.scripts.length") == 0
            assert opened.value("[...document.querySelectorAll('.segment')].every(one => one.title.includes('credit'))")
            opened.screenshot(ARTEFACTS / f"report-{name}.png")
            assert (ARTEFACTS / f"report-{name}.png").stat().st_size > 20_000


@in_chromium
@pytest.mark.parametrize(
    ("markup", "complaint", "request_made", "drawn"),
    [
        (
            "<p>fine</p><img alt='a' src='data:image/svg+xml,<svg xmlns=%22http://www.w3.org/2000/svg%22/>'>",
            "",
            "",
            True,
        ),
        ("<img alt='a' src='data:image/png;base64,AAAA'>", "", "", False),
        ("<script>console.error('a mistake')</script>", "a mistake", "", None),
        ("<script>throw new Error('thrown')</script>", "Uncaught", "", None),
        ("<img alt='a' src='http://127.0.0.1:9/x.png'>", "ERR_", "127.0.0.1", False),
    ],
)
def test_a_browser_finds_what_is_wrong(tmp_path, markup, complaint, request_made, drawn):
    """The negative control: errors of scripts, images that are broken, and what would need a network."""
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><meta charset='utf-8'><title>t</title>{markup}")
    with browser(tmp_path / "profile") as opened:
        opened.open(tmp_path / "page.html")
        assert bool(opened.complaints) == bool(complaint)
        assert complaint in str(opened.complaints)
        assert [request_made in address for address in opened.requests] == ([True] if request_made else [])
        assert opened.images() == ([] if drawn is None else [["a", drawn]])


@in_chromium
def test_a_page_that_was_not_escaped_is_found(page, tmp_path):
    """The negative control: the same page with one title as markup; its security policy stops the script, loudly."""
    html = page.read_text()
    escaped = "&lt;script&gt;console.error(&#39;from a title&#39;)&lt;/script&gt;"
    assert escaped in html
    (tmp_path / "page.html").write_text(html.replace(escaped, SCRIPT, 1))
    with browser(tmp_path / "profile") as opened:
        opened.open(tmp_path / "page.html")
        assert any("Content Security Policy" in complaint for complaint in opened.complaints)
        assert not any("from a title" in complaint for complaint in opened.complaints)
        assert opened.value("document.scripts.length") == 1
