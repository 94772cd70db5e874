"""A run directory under attack: two trainings at once, damage, pickles, a power cut, a retriever that leaves."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from envs_data import DataError
from ospo_agents import AgentError
from ospo_agents.training import checkpoints
from ospo_agents.training import run as training_run
from ospo_agents.training.lock import training_lock
from ospo_agents.training.run_directory import find_progress, read_log
from ospo_env import RetrieverError, TaskError
from paths import ROOT
from programs import ospo
from runs import interrupt
from small_run import command, log, manifest, run, weights


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory, warm_started):
    out = tmp_path_factory.mktemp("unfinished") / "run"
    with pytest.MonkeyPatch.context() as patched:
        interrupt(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            run(out, **warm_started, steps=4, save_steps=2)
    return out


@pytest.fixture
def copied(unfinished, tmp_path):
    return shutil.copytree(unfinished, tmp_path / "run")


def train_program(*arguments):
    program = [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


class TestLock:
    def test_two_trainings_that_start_together(self, tmp_path, warm_started):
        """Whichever is second is refused in one line; the first one ends as if it had been alone."""
        whole = run(tmp_path / "whole", **warm_started, steps=3)
        out = tmp_path / "run"
        both = [train_program(*command(out, "--overwrite", **warm_started, steps=3)) for _ in range(2)]
        results = sorted((process.communicate()[1], process.returncode) for process in both)
        assert [code for _, code in results] == [0, 2]
        assert results[1][0] == (
            f"error: another process is training into {out}; wait until it ends, or choose another directory (--out)\n"
        )
        assert weights(out) == weights(whole)
        assert [row["step"] for row in log(out)] == [1, 2, 3]
        assert not (out / ".lock").exists()

    @pytest.mark.parametrize("flag", ["--resume", "--overwrite"])
    def test_a_run_that_is_going_on_is_not_touched(self, copied, warm_started, flag):
        before = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
        settings = {} if flag == "--resume" else {**warm_started, "steps": 4}
        with training_lock(copied), pytest.raises(AgentError, match="another process is training into") as caught:
            run(copied, flag, **settings)
        assert "\n" not in str(caught.value)
        assert {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path != copied} == {
            path: time for path, time in before.items() if path != copied
        }
        run(copied, flag, **settings)
        assert manifest(copied)["status"] == "finished"

    def test_a_lock_that_a_dead_process_left_is_free(self, tmp_path, warm_started):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / ".lock").touch()
        assert manifest(run(tmp_path / "run", **warm_started, steps=1))["status"] == "finished"

    def test_what_is_refused_leaves_no_directory(self, tmp_path):
        with pytest.raises(ValueError, match="bad"), training_lock(tmp_path / "a" / "run"):
            raise ValueError("bad")
        assert not (tmp_path / "a" / "run").exists()
        (tmp_path / "file").touch()
        with pytest.raises(AgentError, match="is a file"), training_lock(tmp_path / "file"):
            pass


PICKLES = ("optimizer.pt", "rng_state.pth", "scheduler.pt")
FREE = ("out", "overwrite", "save_steps", "status", "command", "versions", "preset")  # may change, or only tell
ODD = [None, True, -1, 0.5, 1e400, "x", "", [], ["x"], {}, {"x": 1}, 10**30]


class TestDamage:
    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"arguments": 3}', b"[" * 100_000, b'{"status": 1}']
    )
    def test_a_damaged_run_json_is_told(self, copied, content):
        (copied / "run.json").write_bytes(content)
        with pytest.raises(AgentError, match=r"run\.json is damaged") as caught:
            run(copied, "--resume")
        assert "\n" not in str(caught.value)

    def test_odd_values_in_run_json_end_in_one_line(self, copied, monkeypatch):
        """Each field in turn has values of all kinds: they go on to training, or are refused in one line."""
        trained, refused = [], []
        monkeypatch.setattr(training_run, "_train", lambda *_, **__: trained.append(name) or {})
        monkeypatch.setattr(training_run, "_clear", lambda *_, **__: None)
        whole = manifest(copied)
        for name in [*whole["arguments"], *(name for name in whole if name != "arguments")]:
            for value in ODD:
                changed = json.loads(json.dumps(whole))
                (changed["arguments"] if name in changed["arguments"] else changed)[name] = value
                (copied / "run.json").write_text(json.dumps(changed))
                try:
                    run(copied, "--resume")
                except SystemExit:  # the parser's way to refuse
                    refused.append(name)
                except (AgentError, TaskError, DataError) as error:
                    refused.append(name)
                    if "\n" in str(error):
                        pytest.fail(f"{name} {value!r}: {error}")
        assert len(trained) + len(refused) == len(ODD) * (len(whole) - 1 + len(whole["arguments"]))
        assert set(whole["arguments"]) - set(refused) <= {*FREE, "policy"}

    @pytest.mark.parametrize("name", FREE)
    def test_odd_values_that_do_not_matter(self, copied, name):
        changed = manifest(copied)
        (changed["arguments"] if name in changed["arguments"] else changed)[name] = ["x"]
        (copied / "run.json").write_text(json.dumps(changed))
        run(copied, "--resume", save_steps=2)
        assert manifest(copied)["status"] == "finished"

    @pytest.mark.parametrize(
        "line",
        [
            "[1]",
            "nonsense",
            "{}",
            '{"step": "x"}',
            '{"step": 1, "seconds": "x"}',
            '{"step": 1, "evaluations/asked": null}',
        ],
    )
    def test_a_damaged_log_is_told(self, copied, line):
        path = copied / "log.jsonl"
        path.write_text(f"{line}\n" + path.read_text())
        with pytest.raises(AgentError, match=r"log.jsonl, line 1: expected .*train again") as caught:
            run(copied, "--resume")
        assert "\n" not in str(caught.value)

    def test_a_line_that_was_cut_off_is_none(self, copied):
        rows = read_log(copied)
        for cut in (b'{"step": 4, "lo', b"\0\0\0", b"\xff"):
            with (copied / "log.jsonl").open("ab") as stream:
                stream.write(cut)
            assert read_log(copied) == rows
            (copied / "log.jsonl").write_bytes((copied / "log.jsonl").read_bytes()[: -len(cut)])

    def test_what_is_no_checkpoint_is_none(self, copied):
        for name in ("checkpoint-x", "checkpoint-99-copy", "checkpoint-"):
            (copied / "checkpoints" / name).mkdir()
        assert find_progress(copied).step == 2

    @pytest.mark.parametrize("name", [*PICKLES, "trainer_state.json", "model.safetensors"])
    def test_a_damaged_checkpoint_is_told(self, copied, name):
        (copied / "checkpoints" / "checkpoint-2" / name).write_bytes(b"damaged")
        with pytest.raises(AgentError, match="checkpoint-2 cannot be read") as caught:
            run(copied, "--resume")
        assert "\n" not in str(caught.value)
        shutil.rmtree(copied / "checkpoints" / "checkpoint-2")
        run(copied, "--resume")
        assert manifest(copied)["status"] == "finished"

    def test_damaged_pairs_are_told(self, tmp_path, warm_started, monkeypatch):
        out = tmp_path / "run"
        interrupt(monkeypatch, 2)
        with pytest.raises(KeyboardInterrupt):
            run(out, **warm_started, steps=3, algo="dpo", max_completion_length=32)
        whole = (out / "pairs.jsonl").read_text().splitlines()
        for line in ("nonsense", "{}", '{"groups": [{"prompt_id": "a"}]}', '{"groups": 3}'):
            (out / "pairs.jsonl").write_text("\n".join([line, *whole[1:]]) + "\n")
            with pytest.raises(AgentError, match=r"pairs.jsonl.*: expected") as caught:
                run(out, "--resume")
            assert "\n" not in str(caught.value)


class Writes:
    """A pickle that writes a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", [*PICKLES, "training_args.bin", "pytorch_model.bin"])
def test_a_checkpoint_is_never_unpickled(copied, tmp_path, name):
    content = pickle.dumps(Writes(tmp_path / "ran"), protocol=2)
    pickle.loads(content)  # negative control: it does what it says
    (tmp_path / "ran").unlink()
    checkpoint = copied / "checkpoints" / "checkpoint-2"
    (checkpoint / name).write_bytes(content)
    if name == "pytorch_model.bin":
        (checkpoint / "model.safetensors").unlink()
    if name == "training_args.bin":  # which is not read
        run(copied, "--resume")
    else:
        with pytest.raises(AgentError, match="cannot be read"):
            run(copied, "--resume")
    assert not (tmp_path / "ran").exists()


def test_what_gets_a_lasting_name_is_on_disk(tmp_path, warm_started, monkeypatch):
    """A power cut loses what was not flushed: whatever is renamed was, and the log that a checkpoint counts on."""
    flushed, renamed = set(), []
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def flush(descriptor):
        fsync(descriptor)
        flushed.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    def follow(move):
        def moved(source, target):
            files = [path for path in [source, *source.rglob("*")] if path.is_file()]
            renamed.append((Path(target).relative_to(out), [path.name for path in files if path not in flushed]))
            if Path(target).name.startswith("checkpoint-"):
                assert out / "log.jsonl" in flushed
            flushed.difference_update([out / "log.jsonl"])
            return move(source, target)

        return moved

    out = tmp_path / "run"
    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "rename", follow(rename))
    monkeypatch.setattr(Path, "replace", follow(replace))
    run(out, **warm_started, steps=5, save_steps=2, eval_steps=2, keep="best", trl="{save_total_limit: 2}")
    names = {name.parts[0] for name, _ in renamed}
    assert {"run.json", "warmstart", "policy", "checkpoints", "best", "curves.png"} <= names
    assert [(name, lost) for name, lost in renamed if lost and "removed" not in name.name] == []


def test_an_unflushed_checkpoint_would_be_seen(tmp_path, warm_started, monkeypatch):
    """The negative control."""
    monkeypatch.setattr(checkpoints, "sync_directory", lambda path: None)
    with pytest.raises(AssertionError):
        test_what_gets_a_lasting_name_is_on_disk(tmp_path, warm_started, monkeypatch)


LEAVES = """
import sys
from ospo_env.retrievers.bm25 import BM25Retriever

class Leaves(BM25Retriever):
    calls = 0
    def score_pools(self, *arguments):
        Leaves.calls += 1
        if Leaves.calls > 20:
            sys.exit(0)
        return super().score_pools(*arguments)
    linear = False
"""


def test_a_retriever_that_leaves_fails(tmp_path, warm_started, monkeypatch):
    """``sys.exit(0)`` inside a retriever would end the training with exit code 0, as if it had finished."""
    (tmp_path / "leaves.py").write_text(LEAVES)
    monkeypatch.syspath_prepend(tmp_path)
    out = tmp_path / "run"
    done = ospo("train", *command(out, **warm_started, steps=30, retriever="leaves:Leaves"))
    assert done.returncode == 2, done.stderr
    assert "SystemExit" in done.stderr.splitlines()[-1]
    assert manifest(out)["status"] == "unfinished"
    with pytest.raises(RetrieverError):
        run(out, "--resume", retriever="leaves:Leaves")
