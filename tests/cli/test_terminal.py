"""What programs print and where they write: files first, no raw escape sequences, no traceback on a broken stream."""

import importlib
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import termios

import pytest

from envs_data import DataError, write_prepared
from envs_data.cache import cache_directory
from ospo_agents import AgentError
from ospo_cli import benchmark, evaluate, explain, report, study, train, train_sb3
from ospo_cli._outputs import check_directory, check_file
from ospo_cli._terminal import Table, say, say_blocks
from programs import ospo
from shop import shop

EVIL = "\x1b]0;owned\x07\x9b2J\u202e"
RAW = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # a bar draws with \r
OSPO = shlex.join([sys.executable, "-m", "ospo_cli"])
EVALUATE = "evaluate --env OSPO-ESCI-v0 --split validation --policy query --retrievers bm25"
EXPLAIN = "explain --query-id shopping-q00534 --text 'rød, frakke' --color never"


def shell(command, **variables):
    """A command line of bash; nothing of it may end in a traceback."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        env={**os.environ, **variables},
        timeout=300,
    )
    done.stdout, done.stderr = (text.decode(errors="surrogateescape") for text in (done.stdout, done.stderr))
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """The test shop with escape sequences in all that a person may see of it."""
    import polars as pl

    data, directory = shop(), tmp_path_factory.mktemp("poisoned") / "data"
    tables = {name: getattr(data, name) for name in ("queries", "pools", "qrels", "demonstrations")}
    tables["queries"] = tables["queries"].with_columns(pl.col("query") + EVIL)
    tables["documents"] = data.documents.frame.with_columns(pl.col("title") + EVIL, pl.col("doc_id") + EVIL)
    write_prepared(directory, tables, dataset="esci", synthetic=True, arguments={}, sources={}, counts={})
    return directory


BLOCKS = [
    "two policies",
    Table(
        "Gain [bold]over[/bold] the raw query",
        ("policy", "bm25"),
        (("a$^$:smile:", "0.1"), (f"evil{EVIL}", "-0.1"), ("c", "0.0")),
        (("", "good"), ("", "bad"), ("", "")),
        narrowest=6,
    ),
    "the end",
]


class TestTables:
    @staticmethod
    def on_a_terminal(monkeypatch, blocks, **variables):
        """What a terminal gets."""
        for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"TERM": "xterm-256color", "COLUMNS": "100", **variables}.items():
            monkeypatch.setenv(name, value)
        terminal, side = pty.openpty()
        termios.tcsetwinsize(side, (24, 100))
        with io.TextIOWrapper(os.fdopen(side, "wb", 0), encoding="utf-8", write_through=True) as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            say_blocks(blocks)
            monkeypatch.undo()
            written = ""
            while not written.endswith("the end\r\n"):
                written += os.read(terminal, 2**16).decode()
        os.close(terminal)
        return written

    def test_a_pipe_gets_aligned_text(self, capsys):
        say_blocks([*BLOCKS, Table("t", ("a", "b"), (("1", "2"),), plain=("as it was",))])
        lines = capsys.readouterr().out.splitlines()
        assert lines[:5] == [
            "two policies", "", "Gain [bold]over[/bold] the raw query",
            f"{'policy':<{len(EVIL) + 4}}    bm25", f"{'a$^$:smile:':<{len(EVIL) + 4}}     0.1",
        ]  # fmt: skip
        assert lines[5].startswith("evil")
        assert lines[5].endswith("   -0.1")
        assert lines[-2:] == ["the end", "as it was"]
        assert not any(RAW.search(line) for line in lines)

    def test_a_terminal_gets_a_table_in_colours(self, monkeypatch):
        """Gains are green and losses red; what cells hold is neither markup nor a command."""
        shown = self.on_a_terminal(monkeypatch, BLOCKS)
        assert re.search(r"\x1b\[32m *0\.1\x1b\[0m", shown)
        assert re.search(r"\x1b\[31m *-0\.1\x1b\[0m", shown)
        assert not re.search(r"\x1b\[3[0-9]m *0\.0", shown)
        assert "Gain [bold]over[/bold] the raw query" in shown
        assert "a$^$:smile:" in shown
        assert "───" in shown
        assert shown.splitlines()[0] == "two policies"
        assert not RAW.search(re.sub(r"\x1b\[[0-9;]*m|\r", "", shown))

    @pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_no_colours_where_none_are_wanted(self, monkeypatch, variables):
        shown = self.on_a_terminal(monkeypatch, BLOCKS, **variables)
        assert "───" in shown
        assert not re.search(r"\x1b\[(3|4|9)[0-9]", shown)


class TestFilesFirst:
    def test_a_reader_that_leaves_loses_no_file(self, tmp_path):
        """``evaluate --json F | head -0``: whatever the reader does, all files are there and whole."""
        files = f"--json {tmp_path}/m.json --plot {tmp_path}/m.png --trec {tmp_path}/trec"
        done = shell(f"{OSPO} {EVALUATE} {files} | true")
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "m.json").read_text())["queries"] > 0
        assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")
        assert {path.name for path in (tmp_path / "trec").iterdir()} == {"query.bm25.run", "qrels.txt"}

    def test_a_reader_of_the_bars_that_leaves_loses_no_file(self, tmp_path):
        done = shell(f"{OSPO} {EVALUATE} --json {tmp_path}/m.json 2>&1 | true")
        assert done.returncode == 0
        assert json.loads((tmp_path / "m.json").read_text())["queries"] > 0

    def test_a_full_disk_behind_the_first_of_many_lines_loses_no_file(self, tmp_path):
        """The benchmark prints each row as it comes, and writes its files at the end."""
        done = shell(f"{OSPO} benchmark --quick --only environments --out {tmp_path}/out > /dev/full")
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("error: [Errno 28]")
        assert len(json.loads((tmp_path / "out" / "benchmark.json").read_text())["rows"]) > 1

    def test_a_full_disk_behind_standard_output_loses_no_file(self, tmp_path):
        done = shell(f"{OSPO} {EVALUATE} --json {tmp_path}/m.json > /dev/full")
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("error: [Errno 28]")
        assert json.loads((tmp_path / "m.json").read_text())["queries"] > 0

    @pytest.mark.parametrize(
        ("program", "arguments"),
        [
            (evaluate, ["--env", "e", "--policy", "p", "--json"]),
            (evaluate, ["--env", "e", "--policy", "p", "--plot"]),
            (evaluate, ["--env", "e", "--policy", "p", "--rewrites"]),
            (evaluate, ["--env", "e", "--policy", "p", "--trec"]),
            (explain, ["--text", "red", "--json"]),
            (report, ["--run", "r", "--out"]),
            (benchmark, ["--out"]),
            (study, ["--out"]),
            (train_sb3, ["--env", "e", "--out"]),
        ],
    )
    @pytest.mark.parametrize("path", ["/dev/null/x", "/proc/nowhere/x", "/dev/null"])
    def test_whether_files_can_be_written_is_known_before_the_work(self, program, arguments, path):
        with pytest.raises(AgentError, match=f"^{arguments[-1]}: .*{path}"):
            program.parse([*arguments, path])

    def test_training_and_preparation_know_it_too(self, tmp_path):
        for out in ("/proc/nowhere/x", "/dev/null/x"):
            with pytest.raises(AgentError, match=f"^--out: .*{out}"):
                train.main(["--env", "OSPO-Nothing-v0", "--out", out])
            for name, arguments in (
                ("prepare", ["hm", "--source", "/nowhere"]),
                ("make-official-size", ["--kind", "hm"]),
            ):
                program = importlib.import_module(f"ospo_cli.{name.replace('-', '_')}")
                with pytest.raises(AgentError, match=f"^--out: .*{out}"):
                    program.main([*arguments, "--out", out])

    def test_nothing_is_left_of_the_check(self, tmp_path):
        check_file("--json", tmp_path / "new" / "m.json")
        check_directory("--out", tmp_path / "new")
        (tmp_path / "old.json").write_text("old")
        check_file("--json", tmp_path / "old.json")
        check_file("--json", None)
        check_directory("--out", None)
        assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
        assert (tmp_path / "old.json").read_text() == "old"
        with pytest.raises(AgentError, match=r"--out: cannot write .*old\.json"):
            check_directory("--out", tmp_path / "old.json")
        with pytest.raises(AgentError, match=r"--json: .* is a directory"):
            check_file("--json", tmp_path)


class TestStreams:
    @pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "2>&-"])
    def test_closed_streams(self, tmp_path, closed):
        done = shell(f"{OSPO} {EVALUATE} --json {tmp_path}/m.json {closed}")
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "m.json").read_text())["queries"] > 0
        assert shell(f"{OSPO} explain --query-id shopping-q00534 --text red {closed}").returncode == 0

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
    def test_characters_that_the_encoding_lacks(self, encoding):
        done = shell(f"{OSPO} {EXPLAIN}", PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr
        shown = {"ascii": r"r\xf8d, frakke", "latin-1": "r\udcf8d, frakke", "utf-8": "rød, frakke"}[encoding]
        assert shown in done.stdout

    def test_a_reader_of_the_help_may_leave(self):
        for arguments in ("--help", "train --help", "--version"):
            assert shell(f"{OSPO} {arguments} | true").returncode == 0

    @pytest.mark.parametrize("home", ["/dev/null/home", "/proc/nowhere"])
    def test_a_home_that_does_not_exist(self, home):
        """The embedded sample cannot be kept then; the message says how to choose another place."""
        done = shell(f"unset OSPO_CACHE_DIR XDG_CACHE_HOME; {OSPO} {EVALUATE}", HOME=home)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: cannot keep the embedded sample at {home}")
        assert "set OSPO_CACHE_DIR to a directory" in line

    def test_nobody_has_a_home(self, monkeypatch):
        """A user id without an account: "~" stays as it is, and no directory of that name is made."""
        monkeypatch.delenv("OSPO_CACHE_DIR")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        assert cache_directory().is_absolute()
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
        with pytest.raises(DataError, match="set OSPO_CACHE_DIR"):
            cache_directory()


class TestEscapeSequences:
    def test_programs_print_none(self, poisoned, tmp_path):
        """From documents, queries, policy names, options and files: nothing of it reaches the terminal raw."""
        own = ("--env", "OSPO-ESCI-v0", "--data", poisoned)
        text = ("--text", "red coat", "--color", "never")
        stored = tmp_path / f"stored{EVIL}.jsonl"
        bm25 = ("--retrievers", "bm25")
        for command, code in (
            (("evaluate", *own, "--policy", "query", "prf", *bm25, "--rewrites", tmp_path / "rewrites"), 0),
            (("explain", *own, "--query-id", "q00", *text), 0),
            (("explain", *own, *text), 2),
            (("explain", *own, "--query-id", f"q00{EVIL}", *text), 2),
            (("evaluate", *own, "--policy", stored), 2),
            (("evaluate", *own, "--policy", "query", "--retrievers", f"bm25{EVIL}"), 2),
            (("report", "--run", stored), 2),
            ((f"trian{EVIL}",), 2),
            (("evaluate", f"--pol{EVIL}"), 2),
        ):
            done = ospo(*command)
            assert done.returncode == code, done.stderr
            assert "Traceback" not in done.stderr, done.stderr
            assert not RAW.search(done.stdout + done.stderr), (command, done.stdout + done.stderr)

    def test_colours_are_the_only_ones(self, poisoned):
        own = f"--env OSPO-ESCI-v0 --data {poisoned}"
        done = shell(f"{OSPO} explain {own} --query-id q00 --text $'red{EVIL}, coat{EVIL}' --color always")
        assert done.returncode == 0, done.stderr
        painted = re.compile(r"\x1b\[(38;2;17;17;17;48;2;\d+;\d+;\d+|0)m")
        assert painted.search(done.stdout)
        assert not RAW.search(painted.sub("", done.stdout))

    def test_a_process_prints_none(self, poisoned):
        done = shell(f"{OSPO} explain --env OSPO-ESCI-v0 --data {poisoned} --query-id $'q00{EVIL}' --text 'red coat'")
        assert done.returncode == 2
        assert "q00" in done.stderr
        assert not RAW.search(done.stdout + done.stderr)

    def test_a_raw_sequence_would_be_seen(self, capsys):
        """The negative control: what is said to be clean is printed as it is."""
        say(f"red{EVIL}", cleaned=True)
        assert RAW.search(capsys.readouterr().out)
        say(f"red{EVIL}\n\tcoat")
        shown = capsys.readouterr().out
        assert not RAW.search(shown)
        assert shown.endswith("\n\tcoat\n")

    def test_warnings_and_faults_are_cleaned(self):
        program = (
            "import sys, warnings\n"
            "from ospo_cli._cli import run\n"
            "def main(argv):\n"
            "    warnings.warn(argv[0])\n"
            "    raise KeyError(argv[0]) from None\n"
            f"run(main, [{EVIL!r}])\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert done.stderr.startswith("warning: ")
        assert "Traceback" in done.stderr  # a fault of the program's own is told in full
        assert not RAW.search(done.stderr)
