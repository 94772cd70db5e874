"""The report: what stands in it, that text of data and models stays text, and how a browser takes it."""

import base64
import dataclasses
import hashlib
import json
import os
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from browser import ABSENT, CHROMIUM, browser
from envs_data import load_prepared, write_prepared
from ospo_agents import AgentError
from ospo_agents.policies.language_model import LanguageModelPolicy
from ospo_agents.segments import phrases
from ospo_cli import evaluate, report
from ospo_cli._report.axes import Axis, gain_bins
from ospo_cli._report.curves import block_means, learning_curves, step_band
from ospo_cli._report.headline import find_policy
from ospo_cli._report.queries import choose_queries
from ospo_cli._report.runs import read_runs, same_settings
from ospo_env import RetrievalTask, TaskError
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


def writes(patch, *texts):
    """Let every policy write these rewrites, and nothing for further prompts."""
    patch.setattr(LanguageModelPolicy, "__call__", lambda self, ids, prompts: [*texts, *[""] * len(ids)][: len(ids)])


def evaluated(trained, file, *texts, split="test"):
    """An evaluation of a policy that writes these rewrites."""
    command = ["--env", "OSPO-ESCI-v0", *repeated(trained), "--split", split, "--json", str(file)]
    with pytest.MonkeyPatch.context() as patch:
        writes(patch, *texts)
        evaluate.main([*command, "--policy", "query", str(trained)])
    return file


@pytest.fixture(scope="module")
def page(trained):
    """The report of a policy that writes markup, in the evaluation and for a query outside of it."""
    hostile = evaluated(trained, trained / "hostile.json", WRITTEN, WRITTEN)
    with pytest.MonkeyPatch.context() as patch:
        writes(patch, WRITTEN)
        command = ["--run", str(trained), "--evaluation", str(hostile), "--queries", "q03", "q11", "q00"]
        report.main([*repeated(trained), *command])
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
    """Tags with their attributes, the text, and the scripts."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self.scripts = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        (self.scripts if self.tags and self.tags[-1][0] == "script" else self.words).append(data)


def text_of(page):
    """What stands on a page, with single spaces."""
    return " ".join("".join(Reader(page.read_text()).words).split())


def is_inert(html):
    """Whether a page holds no script but the one that its policy names, no handler, and nothing that is fetched."""
    found = Reader(html)
    fetched = [given[name] for _, given in found.tags for name in ("src", "href") if name in given]
    digest = base64.b64encode(hashlib.sha256("".join(found.scripts[:1]).encode()).digest()).decode()
    policy = next(given["content"] for _, given in found.tags if given.get("http-equiv") == "Content-Security-Policy")
    return (
        policy == f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'"
        and [tag for tag, _ in found.tags].count("script") == 1
        and all(tag not in ("iframe", "object", "link", "img", "image", "use") for tag, _ in found.tags)
        and not any(name.startswith("on") for _, given in found.tags for name in given)
        and all(address.startswith("#") for address in fetched)
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
    "unescaped", ["<script>1</script>", "<a href='https://example.org/'>", "<p onclick='x'>", "<img src=x>"]
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
    evaluation = json.loads((trained / "hostile.json").read_text())
    means = evaluation["policies"]["query"]["metrics"]["lsa"]
    assert {f"{value:.3f}" for value in means.values()} <= set(" ".join(Reader(html).words).split())


def test_it_answers_first(trained, tmp_path):
    """The first screen says what single queries of the evaluation add up to; the numbers are computed here anew."""
    file = evaluated(trained, tmp_path / "e.json", "red, RED zzz", "", split="validation")
    command = ["--run", str(trained), "--evaluation", str(file), "--out", str(tmp_path / "page.html")]
    report.main([*repeated(trained), *command])
    task = RetrievalTask(load_prepared(trained.parent / "data"), "bm25")
    ids, _ = task.prompts("validation")
    texts = ["red, RED zzz", *[""] * (len(ids) - 1)]
    raw, values = task.rewards(ids, task.raw_rewrites(ids)), task.rewards(ids, texts)
    content = json.loads(file.read_text())
    row = content["policies"][str(trained)]
    assert content["query_ids"] == ids
    assert row["rewrites"] == [[text] for text in texts]
    assert (row["values"]["bm25"], content["raw_values"]["bm25"]) == (values.tolist(), raw.tolist())
    shown = text_of(tmp_path / "page.html")
    first = shown.index("Policies and retrievers")
    top = shown[:first]
    assert f"nDCG@10 {raw.mean():.3f} → {values.mean():.3f} under bm25: worse than the raw query" in top
    assert f"{(values - raw).mean():+.3f}" in top
    wins, losses = (values > raw).sum(), (values < raw).sum()
    assert losses == 3 > wins, "two send nothing, and one sends the wrong words"
    assert f"{wins}win{3 - wins - losses}tie{losses}lose" in top.replace(" ", "")
    assert top.index("bm25 in distribution") < top.index("lsa out of distribution")
    assert "1.0a rewrite; longest 3; 67 % write none" in top, "three words in three rewrites"
    assert "33 %33 % are in no document" in top, "one word of three is repeated, another unknown"
    html = (tmp_path / "page.html").read_text()
    sections = [given["id"] for tag, given in Reader(html).tags if tag == "section"]
    assert sections == ["policies", "gains", "phrases", "queries", "curves", "manifest"]
    assert '<mark title="repeats a word">RED</mark>' in html


def test_phrases_are_credited_over_all_queries(trained, tmp_path):
    """Two segments share a rewrite's worth: by hand, half of what each adds alone and half of what it adds last."""
    texts = ["red, wool"] * 6
    file = evaluated(trained, tmp_path / "e.json", *texts, split="train")
    command = ["--run", str(trained), "--evaluation", str(file), "--out", str(tmp_path / "page.html")]
    report.main([*repeated(trained), *command])
    task = RetrievalTask(load_prepared(trained.parent / "data"), "bm25")
    ids, _ = task.prompts("train")
    red, wool, both = (task.rewards(ids, [text] * 6) for text in ("red,", "wool", "red, wool"))
    shown = text_of(tmp_path / "page.html")
    assert "These are training queries, so nothing here is held out." in shown
    for phrase, credit in (("red", (red + both - wool) / 2), ("wool", (wool + both - red) / 2)):
        helps, hurts = (credit > 0).mean(), (credit < 0).mean()
        assert f"{phrase}{credit.mean():+.3f}" in shown.replace(" ", "").replace("keep", "").replace("stop", "")
        assert f"6 queries: helps {helps:.0%}, hurts {hurts:.0%}".replace("%", " %") in shown
    assert "The credit of a rewrite's phrases sums to its worth" in shown
    assert "is an estimate" not in shown
    assert "2 of 2 phrases stand in enough queries to be tested, here by their summed effect" in shown
    report.main([*repeated(trained), *command, "--solution", "leave_one_out", "--examples", "1"])
    assert (np.abs((both - wool) + (both - red) - both) > 0.01).any(), "what each adds last is not the whole"
    shown = text_of(tmp_path / "page.html")
    assert "Credit by leave_one_out need not sum to a rewrite's whole, its worth." in shown
    assert "phrases sums to" not in shown


def test_estimated_credit_is_counted(trained, tmp_path):
    """A rewrite of more phrases than can be valued in all subsets, and two of one phrase."""
    long = ", ".join("red wool coat shoe dress bag blue black linen cotton leather size jacket rain".split())
    file = evaluated(trained, tmp_path / "e.json", long, "red", "red", split="validation")
    command = ["--run", str(trained), "--evaluation", str(file), "--out", str(tmp_path / "page.html")]
    report.main([*repeated(trained), *command, "--examples", "1"])
    assert "; that of 1 of 3 rewrites is an estimate." in text_of(tmp_path / "page.html")


def test_policies_of_other_training_are_told_apart(trained, tmp_path):
    """The page is of one policy: what others were trained on stands beside their names."""
    content = json.loads((trained / "metrics.json").read_text())
    own = content["policies"][str(trained)]
    content["policies"]["other"] = own | {"trained_on": "lsa", "rewrites": [["red", "blue"]] * content["queries"]}
    (tmp_path / "e.json").write_text(json.dumps(content))
    command = ["--run", str(trained), "--evaluation", str(tmp_path / "e.json"), "--out", str(tmp_path / "page.html")]
    report.main([*repeated(trained), *command, "--examples", "1"])
    shown = text_of(tmp_path / "page.html")
    assert "lsa out of distribution" in shown
    assert "bm25 (trained on)" in shown
    assert "lsa (not trained on)" in shown
    assert "other (after RL), trained on lsa" in shown
    assert f"{trained} (after RL), trained on" not in shown
    own["rewrites"] = [["red", "blue"]] * content["queries"]
    (tmp_path / "e.json").write_text(json.dumps(content))
    with pytest.raises(AgentError, match=r"expected one rewrite a query of .*, got 2 of q\d+; evaluate the run itself"):
        report.main([*repeated(trained), *command])


def test_a_run_of_several_reward_retrievers_and_a_name_for_a_shell(trained, tmp_path):
    """All retrievers of the reward are named; commands to paste are quoted, and name each retriever once."""
    out = another(trained, tmp_path / "$(id) b", retriever="lsa", reward_retrievers=["bm25", "lsa"])
    report.main([*repeated(out), "--run", str(out), "--examples", "1"])
    shown = text_of(out / "report.html")
    assert "trained on bm25, lsa, 12 steps" in shown
    arguments = manifest(out)["arguments"]
    command = [
        "ospo",
        "evaluate",
        "--env",
        arguments["env"],
        "--data",
        arguments["data"],
        "--policy",
        "query",
        str(out),
    ]
    command += ["--retrievers", "lsa", "--json", str(out / "eval.json")]
    begin, end = shown.index("Run ospo evaluate") + len("Run "), shown.index(" and make this report")
    assert shlex.split(shown[begin:end]) == command
    option = shown[end:].removeprefix(" and make this report with ").partition(". ")[0]
    assert shlex.split(option) == ["--evaluation", str(out / "eval.json")]
    spoilt = another(trained, tmp_path / "spoilt", reward_retrievers=["bm25", 3])
    with pytest.raises(AgentError, match="expected reward_retrievers as names"):
        report.main([*repeated(spoilt), "--run", str(spoilt)])


def test_an_evaluation_of_an_earlier_version(trained, tmp_path):
    """It told neither signs nor single queries: the page says what is missing, and queries are drawn as before."""
    content = json.loads((trained / "metrics.json").read_text())
    del content["query_ids"], content["raw_values"]
    for row in content["policies"].values():
        for name in ("signs", "values", "rewrites"):
            del row[name]
        row.pop("completions_cut", None)
    (tmp_path / "old.json").write_text(json.dumps(content))
    command = ["--run", str(trained), "--evaluation", str(tmp_path / "old.json"), "--out", str(tmp_path / "page.html")]
    report.main([*repeated(trained), *command, "--examples", "2"])
    shown = text_of(tmp_path / "page.html")
    means = content["policies"][str(trained)]["metrics"]["bm25"]["nDCG@10"]
    assert f"→ {means:.3f} under bm25" in shown
    assert shown.count("not in this evaluation; evaluate again") == 3
    assert shown.count("Wins and losses: not in this evaluation") == 2
    assert shown.count("the evaluation holds no values of single queries of this run") == 2
    assert "2 of 3 test queries, drawn with seed 0." in shown


def test_an_evaluation_of_another_run_is_no_headline(trained, tmp_path):
    other = another(trained, tmp_path / "other", seed=1)
    command = ["--run", str(other), "--evaluation", str(trained / "metrics.json"), "--examples", "1"]
    report.main([*repeated(trained), *command])
    shown = text_of(other / "report.html")
    assert "The evaluation has no policy of this run" in shown
    assert f"It has query, {trained}/warmstart, {trained}." in shown
    assert "in distribution" not in shown


@pytest.mark.parametrize(
    ("name", "stage", "is_found"),
    [
        ("runs/a", "after RL", True),
        ("/home/me/runs/a/policy", "after RL", True),
        ("a", "after RL", True),
        ("runs/a/warmstart", "before RL", False),
        ("runs/b", "after RL", False),
        ("ns/a", "after RL", False),
        ("a", None, False),
        ("nul\0", "after RL", False),
    ],
)
def test_the_policy_of_a_run_is_found_by_its_path(name, stage, is_found):
    found = find_policy({"policies": {"query": {"stage": None}, name: {"stage": stage}}}, Path("/home/me/runs/a"), None)
    assert found == ((name, False) if is_found else None)


@pytest.mark.parametrize(
    ("digests", "digest", "match"),
    [
        ({"a": None, "/home/me/runs/a": None}, None, ("/home/me/runs/a", False)),
        ({"a": "1", "/home/me/runs/a": "1"}, None, ("/home/me/runs/a", False)),
        ({"a": None, "a/policy": None}, "1", ("a", False)),
        (
            {"a": None, "runs/a": None},
            "1",
            "expected one policy of /home/me/runs/a, but a and runs/a both end its path",
        ),
        ({"a": "2", "runs/a": "1"}, "1", ("runs/a", True)),
        ({"a": "1", "runs/a": "1"}, "1", ("a", True)),
        ({"/home/me/runs/a": "2", "a": "1"}, "1", ("a", True)),
        ({"/home/me/runs/a": "2", "a": None}, "1", "/home/me/runs/a is another policy"),
        ({"runs/a": "2"}, "1", "runs/a is another policy than the one in /home/me/runs/a, or an earlier one"),
        ({"/home/me/runs/a": "2"}, "1", "its digests.json is 2, not 1; evaluate the run again"),
        ({"runs/b": "1"}, "1", None),
    ],
)
def test_the_digest_of_a_policy_decides_and_the_whole_path_comes_first(digests, digest, match):
    rows = {
        name: {"stage": "after RL"} | ({} if other is None else {"policy_digest": other})
        for name, other in digests.items()
    }
    if isinstance(match, str):
        with pytest.raises(AgentError, match=match):
            find_policy({"policies": rows}, Path("/home/me/runs/a"), digest)
    else:
        assert find_policy({"policies": rows}, Path("/home/me/runs/a"), digest) == match


def test_an_evaluation_of_other_weights_is_refused(trained, tmp_path):
    """Of a run that was trained anew in its directory, or of a run whose name is the end of this one's path."""
    content = json.loads((trained / "metrics.json").read_text())
    digest = hashlib.sha256((trained / "policy" / "digests.json").read_bytes()).hexdigest()
    assert content["policies"][str(trained)]["policy_digest"] == digest
    assert content["policies"][str(trained / "warmstart")]["policy_digest"] != digest
    content["policies"][trained.name] = content["policies"].pop(str(trained))
    command = [*repeated(trained), "--run", str(trained), "--evaluation", str(tmp_path / "e.json"), "--examples", "1"]
    command += ["--out", str(tmp_path / "page.html")]
    for stored, answer in ((digest, None), (None, "Matched by name: no digest"), ("0" * 64, "is another policy than")):
        content["policies"][trained.name]["policy_digest"] = stored
        if stored is None:
            del content["policies"][trained.name]["policy_digest"]
        (tmp_path / "e.json").write_text(json.dumps(content))
        if stored == "0" * 64:
            with pytest.raises(AgentError, match=answer):
                report.main(command)
            continue
        report.main(command)
        shown = text_of(tmp_path / "page.html")
        assert ("Matched by name" in shown) == (answer is not None)
        assert answer is None or answer in shown


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


def test_axes_hold_their_values():
    for values, ticks in (
        ([0.104, 0.797], (0.0, 0.2, 0.4, 0.6, 0.8)),
        ([-0.03, 0.02], (-0.04, -0.02, 0.0, 0.02)),
        ([], (0.0, 0.25, 0.5, 0.75, 1.0)),
        ([0.5, float("nan")], (0.45, 0.5, 0.55)),
    ):
        axis = Axis.over(values)
        assert axis.ticks == pytest.approx(ticks)
        assert len({axis.label(tick) for tick in ticks}) == len(ticks)
        assert all(0 <= axis.at(value) <= 100 for value in values if value == value)
    assert [axis.at(tick) for tick in ticks] == [0, 50, 100]
    assert Axis.over([3, 3], whole=True).ticks == (2.0, 3.0, 4.0)


def test_a_histogram_counts_every_gain_once():
    gains = np.random.default_rng(0).choice([-1.0, -0.31, -0.3, 0.0, 1e-12, 0.05, 0.1, 1.0], size=200)
    bins = gain_bins(gains)
    assert [one.low for one in bins] == pytest.approx(np.arange(-10, 10) / 10)
    counts = [((gains < 0) & (gains >= one.low - 1e-12) & (gains < one.high - 1e-12)).sum() for one in bins[:10]]
    assert [one.queries for one in bins[:10]] == counts
    assert sum(one.queries for one in bins[10:]) == (gains > 1e-9).sum()
    assert gain_bins(np.zeros(5)) == ()


@pytest.mark.parametrize(("queries", "count"), [(1, 9), (2, 9), (4, 9), (7, 9), (5, 4), (30, 9), (30, 1)])
def test_the_ends_and_the_middle_are_chosen(queries, count):
    gains = np.random.default_rng(1).permutation(queries) / queries
    kinds = choose_queries(gains, count)
    assert len(kinds) == min(queries, count)
    by_kind = {kind: [gains[row] for row in kinds if kinds[row] == kind] for kind in ("best", "median", "worst")}
    assert min(by_kind["best"]) >= max([*by_kind["median"], *by_kind["worst"], 0.0])
    assert max([*by_kind["worst"], 0.0]) <= min([*by_kind["median"], *by_kind["best"]])
    if by_kind["median"]:
        assert abs(np.median(by_kind["median"]) - np.median(gains)) <= 1 / queries


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
        row["intervals"] |= {"lsa": {name: [mean, None, None] for name, mean in row["metrics"]["lsa"].items()}}
    (tmp_path / "one.json").write_text(json.dumps(evaluation))
    command = ["--run", str(trained), "--evaluation", str(tmp_path / "one.json"), "--examples", "1"]
    report.main([*repeated(trained), *command, "--out", str(tmp_path / "page.html")])
    mean = evaluation["policies"][str(trained)]["metrics"]["lsa"]["nDCG@10"]
    assert f"{mean:.3f} [unknown]" in "".join(Reader((tmp_path / "page.html").read_text()).words)


def test_the_policy_is_opened_where_evaluate_opens_it(trained, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(LanguageModelPolicy, "open", lambda path: opened.append(path) or (lambda *_: ["red"]))
    report.main([*repeated(trained), "--run", str(trained), "--examples", "1", "--out", str(tmp_path / "report.html")])
    assert opened == [trained / "policy"]


# In a browser


FACTS_END = "document.querySelector('.facts').getBoundingClientRect().bottom"
CUT = """[...document.querySelectorAll('body *')].filter(one => !one.closest('.sr') &&
    (one.getBoundingClientRect().right > innerWidth + 1 ||
     one instanceof HTMLElement && one.clientWidth && one.scrollWidth > one.clientWidth + 1))
    .map(one => `${one.tagName}: ${one.textContent.trim().slice(0, 40)}`)"""
SMALL = """[...document.querySelectorAll('body *')].filter(one => one.textContent.trim() && !one.closest('.sr') &&
    parseFloat(getComputedStyle(one).fontSize) < 12).map(one => one.outerHTML.slice(0, 80))"""
PALE = """(() => {
  const channels = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(part => part * (/^color/.test(colour) ? 255 : 1));
  const light = colour => channels(colour).map(part => part / 255).map(
    part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4
  ).reduce((sum, part, place) => sum + part * [.2126, .7152, .0722][place], 0);
  const ground = one => {
    const colour = getComputedStyle(one).backgroundColor;
    return /, 0\\)$/.test(colour) && one.parentElement ? ground(one.parentElement) : colour;
  };
  const own = one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll('body *:not(script)')].filter(own).filter(one => {
    const [darker, lighter] = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => a - b);
    return (lighter + .05) / (darker + .05) < 4.5;
  }).map(one => one.outerHTML.slice(0, 80));
})()"""
TYPED = """(words => {
  const box = document.getElementById('filter');
  box.value = words;
  box.dispatchEvent(new Event('input'));
  const left = [...document.querySelectorAll('article.query')].filter(one => one.offsetParent);
  const shown = document.getElementById('shown').textContent;
  return JSON.stringify([left.map(one => one.querySelector('p').textContent), shown]);
})"""


@in_chromium
def test_a_browser_shows_it_whole(page, tmp_path):
    """At both widths and in both colour schemes: nothing is cut off, small or pale, and the filter filters."""
    with browser(tmp_path / "profile") as opened:
        for name, width, dark in (
            ("light", 1280, False),
            ("dark", 1280, True),
            ("narrow", 390, False),
            ("narrow-dark", 390, True),
        ):
            opened.open(page, width=width, dark=dark)
            assert opened.value("document.querySelectorAll('details[open]').length") == 0
            assert width < 1280 or opened.value(FACTS_END) < 900, "one screen answers"
            opened.screenshot(ARTEFACTS / f"report-{name}.png")
            assert (ARTEFACTS / f"report-{name}.png").stat().st_size > 20_000
            opened.value("document.querySelectorAll('details').forEach(one => one.open = true)")
            for faults in (CUT, SMALL, PALE):
                assert opened.value(faults) == []
            assert not opened.scrolls_sideways()
            text = opened.text()
            assert SCRIPT in text
            assert HANDLER in text
            assert opened.value("document.scripts.length") == 1
            assert opened.value("[...document.querySelectorAll('.segment')].every(one => one.title.includes('credit'))")
            assert opened.value("document.querySelectorAll('svg circle').length") == 6, "policies, blocks of steps"
            cards, shown = json.loads(opened.value(f"{TYPED}('Q03')"))
            assert ([card.split(";")[0] for card in cards], shown) == (["query q03"], "1 of 3 queries")
            assert json.loads(opened.value(f"{TYPED}('no such words')")) == [[], "0 of 3 queries"]
            assert len(json.loads(opened.value(f"{TYPED}('')"))[0]) == 3
        assert opened.complaints == []
        assert opened.requests == []


@in_chromium
def test_a_browser_finds_what_is_cut_off_small_or_pale(page, tmp_path):
    """The negative control of the test above."""
    html = page.read_text()
    tall = html.replace("<header>", "<header><p style='height:900px'>tall</p>")
    (tmp_path / "tall.html").write_text(tall)
    wide = "<p style='width:500px'>wide</p>"
    cut = "<div style='overflow-x:auto'><p style='width:500px'>cut</p></div>"
    small, pale = "<p style='font-size:9px'>small</p>", "<p style='color:#777;background:#888'>pale</p>"
    (tmp_path / "page.html").write_text(html.replace("</main>", f"{wide}{cut}{small}{pale}</main>"))
    with browser(tmp_path / "profile") as opened:
        opened.open(tmp_path / "tall.html", width=1280)
        assert opened.value(FACTS_END) > 900
        opened.open(tmp_path / "page.html", width=390)
        assert {"P: wide", "DIV: cut"} <= set(opened.value(CUT))
        assert opened.scrolls_sideways()
        assert [small.replace("'", '"')] == opened.value(SMALL)
        assert [pale.replace("'", '"')] == opened.value(PALE)


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
        assert opened.value("document.scripts.length") == 2
