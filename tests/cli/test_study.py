"""The study: its runs killed and resumed, one real run of each method, and its arguments."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ospo_agents import AgentError
from ospo_agents.credit import make_solution
from ospo_agents.segments import phrases
from ospo_cli import study
from ospo_cli._study import accuracy, cells, few_calls, parts, plan, tables
from ospo_cli._study.plan import Cell
from ospo_cli._study.processes import read_cell, train
from small_run import write_data

# A program that does what a training run does to the disk: takes a while, then leaves its file whole.
PROGRAM = """
import gzip, json, os, sys, time
from pathlib import Path
out, said = Path(sys.argv[2]), json.loads(sys.argv[4])
what = said.pop("what")
from ospo_cli._study.plan import Cell
cell = Cell(**said)
with open(out / "began", "a") as began:
    began.write(f"{what} {cell.method} {os.environ['OMP_NUM_THREADS']}\\n")
if cell.method == "broken":
    sys.exit("first line\\nerror: the reason")
if what == "warm start":
    cell.warm_path(out).mkdir(parents=True)
else:
    time.sleep(cell.settings["seconds"])
    cell.path(out).parent.mkdir(parents=True, exist_ok=True)
    cell.path(out).with_suffix(".tmp").write_bytes(gzip.compress(json.dumps(said).encode()))
    cell.path(out).with_suffix(".tmp").rename(cell.path(out))
"""


def a_cell(method="ospo", seed=0, **settings):
    return Cell(
        task="shopping", method=method, settings={"learning_rate": 1e-3, **settings}, seed=seed, steps=2, every=1,
        split="test",
    )  # fmt: skip


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return [sys.executable, str(path)]


def began(out):
    return (out / "began").read_text().splitlines()


class TestProcesses:
    def test_warm_start_first_once_and_on_one_thread(self, tmp_path, program):
        train(program, tmp_path, [a_cell(name, seconds=0) for name in ("grpo", "ospo")], 2, "runs")
        assert began(tmp_path)[0].startswith("warm start")
        assert sorted(began(tmp_path)[1:]) == ["train grpo 1", "train ospo 1"]

    def test_killed_and_resumed(self, tmp_path, program):
        """What was finished is kept, what was not is trained, and no half file is taken for a whole one."""
        wanted = [a_cell("ospo", seed, seconds=0 if seed == 0 else 30) for seed in range(3)]
        code = (
            "import json\nfrom pathlib import Path\n"
            "from ospo_cli._study.plan import Cell\nfrom ospo_cli._study.processes import train\n"
            f"cells = [Cell(**said) for said in json.loads({json.dumps([vars(cell) for cell in wanted])!r})]\n"
            f"train({program!r}, Path({str(tmp_path)!r}), cells, 1, 'runs')"
        )
        running = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + 60
        while not (tmp_path / "began").exists() or len(began(tmp_path)) < 5:  # three warm starts, one run, another
            assert time.monotonic() < until
            assert running.poll() is None
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        finished = wanted[0].path(tmp_path)
        assert [cell.path(tmp_path).is_file() for cell in wanted] == [True, False, False]
        written = finished.stat().st_mtime_ns

        again = [a_cell("ospo", seed, seconds=0) for seed in range(3)]
        train(program, tmp_path, again, 2, "runs")
        assert all(cell.path(tmp_path).is_file() for cell in again)
        assert finished.stat().st_mtime_ns == written
        assert sum(line.startswith("warm start") for line in began(tmp_path)) == 3

    def test_a_failure_is_told_by_its_last_line_and_the_other_runs_are_finished(self, tmp_path, program):
        wanted = [a_cell("broken"), a_cell("ospo", seconds=0)]
        with pytest.raises(AgentError, match=r"runs: 1 of 2 failed, first train of broken, .*: error: the reason"):
            train(program, tmp_path, wanted, 1, "runs")
        assert [cell.path(tmp_path).is_file() for cell in wanted] == [False, True]

    def test_a_run_of_other_settings_is_not_taken(self, tmp_path, program):
        train(program, tmp_path, [a_cell(seconds=0)], 1, "runs")
        assert read_cell(tmp_path, a_cell(seconds=0))["seed"] == 0
        with pytest.raises(AgentError, match="expected settings"):
            read_cell(tmp_path, a_cell(seconds=1))


class TestRuns:
    def test_one_run_of_each_method(self, tmp_path, monkeypatch):
        data = str(write_data(tmp_path))
        monkeypatch.setattr(cells, "TASKS", {"shopping": plan.StudyTask("OSPO-ESCI-v0", 1)})
        found = {}
        for method in ("grpo", "ospo"):
            settings = {
                **plan.METHODS[method], "batch_size": 8, "group_size": 2, "max_completion_length": 8,
                "learning_rate": 1e-3,
            }  # fmt: skip
            cell = Cell("shopping", method, settings, seed=0, steps=2, every=1, split="test", data=data)
            if not cell.warm_path(tmp_path).is_dir():
                cells.warm_start_cell(cell, cell.warm_path(tmp_path))
            cells.run_cell(cell, cell.warm_path(tmp_path), cell.path(tmp_path))
            found[method] = read_cell(tmp_path, cell)
        assert [point["rollouts"] for point in found["ospo"]["curve"]] == [0, 8, 16]
        assert found["ospo"]["curve"][0] == found["grpo"]["curve"][0]
        assert found["ospo"]["rewrites"]["before"] == found["grpo"]["rewrites"]["before"]
        assert len(found["ospo"]["rewrites"]["after"]) == len(found["ospo"]["ids"])
        runs = {name: [run] for name, run in found.items()}
        assert tables.kinds_kept(runs) == ["sampled", "greedy"]
        earlier = [{key: value for key, value in found["grpo"].items() if key != "sampled_rewrites"}]
        assert tables.kinds_kept({**runs, "grpo": earlier}) == ["greedy"]
        for kind in ("sampled", "greedy"):
            measured = tables.measure_transfer("shopping", runs, "bm25", data, kind)
            for method, run in found.items():  # measured again, the stored rewrites earn what they earned
                assert measured[method]["before"][0] == run["curve"][0][kind]
                assert measured[method]["after"][0] == run["curve"][-1][kind]

    def test_settings_reach_the_trainer(self):
        cell = Cell(
            "shopping", "x", {"learning_rate": 2e-4, **plan.ABLATIONS["separators"].settings}, 3, 2, 1, "test", None
        )
        settings = cells.cell_settings(cell, cell.settings)
        assert (settings.learning_rate, settings.credit_separators, settings.seed) == (2e-4, True, 3)
        budget = Cell("shopping", "x", plan.ABLATIONS["budget-32"].settings, 3, 2, 1, "test", None)
        assert cells.cell_settings(budget, budget.settings).solution_settings == {"budget": 32}

    @pytest.mark.parametrize("name", plan.ABLATIONS)
    def test_every_ablation_can_be_trained(self, name):
        settings = cells.cell_settings(a_cell(), {"learning_rate": 1e-3, **plan.ABLATIONS[name].settings})
        if settings.algo == "ospo":  # rewrites have up to 16 segments
            make_solution(settings.solution, **settings.solution_settings).plan(16, [list(range(16))])

    @pytest.mark.parametrize("table", ["METHODS", "ABLATIONS"])
    def test_no_two_names_of_one_learner(self, table):
        """Two names of one learner would be compared as if they were two."""
        own = {name: getattr(one, "settings", one) for name, one in getattr(plan, table).items()}
        settings = [repr(cells.cell_settings(a_cell(), {"learning_rate": 1e-3, **one})) for one in own.values()]
        assert len(set(settings)) == len(settings)

    @pytest.mark.parametrize("name", plan.METHODS)
    def test_every_method_can_be_trained(self, name):
        cells.cell_settings(a_cell(), {"learning_rate": 1e-3, **plan.METHODS[name]})

    @pytest.mark.parametrize("name", accuracy.COMPARED_SOLUTIONS)
    def test_every_solution_of_the_accuracy_part_covers_long_rewrites(self, name):
        solution, settings = accuracy.COMPARED_SOLUTIONS[name]
        assert len(make_solution(solution, **settings).plan(16, [list(range(16))])) <= 2**16

    def test_labels(self):
        text = "Red coat, boots ,red  coat, hat"
        spans = [(0, 9), (9, 17), (17, 27), (27, 31)]
        assert accuracy.matches_intent(text, spans, ["red coat", "cap"]).tolist() == [True, False, True, False]


class TestArguments:
    @pytest.mark.parametrize(
        ("given", "named"),
        [
            (["true-advantage", "--steps", "-1"], "--steps: expected at least 0"),
            (["--seeds", "-1"], "--seeds: expected at least 0"),
            (["accuracy", "--seeds", "0"], "--seeds: expected at least 1"),
            (["--steps", "30"], "--every: expected a divisor of --steps 30"),
            (["--steps", "0"], "--steps: expected at least 1"),
            (["--selection-seeds", "-1"], "--selection-seeds: expected at least 0"),
            (["--unseen", "bm25"], "--unseen: expected retrievers that training does not see"),
            (["real"], "--data: the part real needs"),
            (["real", "--data", "d", "--tasks", "shopping"], "--tasks: expected of hm in the part real"),
            (["learning", "--few-calls", "lsa"], "--few-calls is of the part accuracy, not of learning"),
            (["learning", "--methods", "phrases"], "--methods: expected of ospo, .* in the part learning"),
            (["accuracy", "--tasks", "hm"], "--tasks: expected of shopping, fashion in the part accuracy"),
        ],
    )
    def test_refused(self, tmp_path, given, named):
        with pytest.raises(AgentError, match=named):
            study.main([*given, "--out", str(tmp_path)])

    def test_quick_overrides_what_the_part_does(self):
        arguments = study.parse(["--quick"])
        assert (arguments.tasks, arguments.seeds, arguments.steps, arguments.selection_seeds) == (
            ["shopping"],
            2,
            50,
            0,
        )
        assert study.parse(["--quick", "--seeds", "4"]).seeds == 4
        assert study.parse(["--quick", "--selection-seeds", "1"]).selection_seeds == 1
        assert study.parse(["real", "--quick", "--data", "d"]).tasks == ["hm"]
        assert study.parse(["--methods", "ospo", "ospo"]).methods == ["ospo"]
        assert study.parse([]).selection_seeds == 2

    def test_the_rate_is_chosen_on_other_seeds_and_another_split(self, tmp_path, monkeypatch, capsys):
        asked = []

        def trained(program, out, wanted, processes, label):
            for cell in wanted:
                asked.append(cell)
                value = {1e-3: 0.2, 1e-4: 0.5}[cell.settings["learning_rate"]]
                curve = [{"sampled": value, "greedy": 1 - value}]
                cells.write_report(cell.path(out), {**vars(cell), "curve": curve})

        monkeypatch.setattr(parts, "train", trained)
        arguments = study.parse(["--out", str(tmp_path), "--tasks", "shopping", "--learning-rates", "1e-3", "1e-4"])
        chosen = parts.choose_rates(arguments)
        assert chosen == {("shopping", "grpo"): 1e-4, ("shopping", "ospo"): 1e-4}
        assert all(cell.seed >= plan.SELECTION_SEED and cell.split == "validation" for cell in asked)
        assert "| shopping | ospo | 0.0001 | 0.500 | 0.500 |" in capsys.readouterr().out
        arguments.select = "greedy"  # which is the better the lower the sampled value, here
        assert parts.choose_rates(arguments) == {("shopping", "grpo"): 1e-3, ("shopping", "ospo"): 1e-3}
        assert "chosen by the greedy value" in capsys.readouterr().out
        arguments.seeds = 0
        parts.study(arguments)  # without seeds nothing else is trained
        assert "chosen by the greedy value" in capsys.readouterr().out
        assert not list(tmp_path.rglob("*-test.json.gz"))


def test_credit_at_few_calls_is_compared_with_that_of_all_texts():
    cell = plan.Cell("shopping", "few-calls", {"retriever": "fusion:bm25+lsa"}, 0, 1, 1, "train")
    task = cells.open_cell(cell, "fusion:bm25+lsa")
    ids, texts = zip(*task.demonstrations()[:24], strict=True)
    others = [text.split(", ")[0] for text in texts[1:] + texts[:1]]  # wrong phrases
    texts = [f"{text}, {other}" for text, other in zip(texts, others, strict=True)]
    spans = [phrases(text) for text in texts]
    labels = [
        accuracy.matches_intent(text, tiles, task.query(prompt_id).intent)
        for prompt_id, text, tiles in zip(ids, texts, spans, strict=True)
    ]
    rollouts = accuracy.WarmRollouts(list(ids), texts, spans, labels, None)
    solution = make_solution("sampled_shapley")
    few, every = (few_calls._areas(task, rollouts, solution, calls) for calls in (8, None))
    sizes = [2 ** len(tiles) - 1 for tiles in spans]
    assert every["texts"] == np.mean(sizes)
    assert few["texts"] == np.mean(
        [min(size, max(8, len(tiles) + 1)) for size, tiles in zip(sizes, spans, strict=True)]
    )
    assert few["all"] != every["all"] > 0.6
    reports = [{"settings": cell.settings, "credit": {"at most 8 texts": few, "all texts": every}}]
    table = few_calls.few_calls("shopping", reports)
    assert "shopping, 1 seeds, fusion" in table
    assert f"| {few['texts']:,.1f} |" in table
