"""The command ``ospo`` and its help: fast, with examples that hold, and errors that name the nearest word."""

import importlib
import resource
import shlex
import subprocess
import sys

import pytest

from ospo_cli import prepare
from ospo_cli._cli import EXTRAS, Parser
from ospo_cli.main import PROGRAMS
from paths import ROOT
from programs import ospo

SLOW_TO_IMPORT = {"matplotlib", "sklearn", "scipy", "polars", "gymnasium", "torch", "transformers", "trl", "faiss"}
SUBCOMMANDS = [*([program] for program in PROGRAMS), *(["prepare", kind] for kind in ("esci", "hm", "table", "beir"))]


def ospo_process(*arguments):
    command = [sys.executable, "-m", "ospo_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def cpu_seconds(*arguments):
    """CPU time of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ospo_process(*arguments).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def median_is_below(seconds, *arguments):
    """Whether the median of five CPU times of a command is below a bound; three that agree decide it."""
    below = []
    while max(below.count(True), below.count(False)) < 3:
        below.append(cpu_seconds(*arguments) < seconds)
    return below.count(True) == 3


def loaded(*arguments):
    """Top-level modules that a command has imported when it ends."""
    program = (
        "import sys, atexit\n"
        "from ospo_cli.main import main\n"
        "atexit.register(lambda: print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr))\n"
        f"sys.argv = {['ospo', *arguments]!r}\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    return set(done.stderr.split())


def examples(help_text, name):
    """The example commands of a help text, without the program's name."""
    _, _, lines = help_text.partition("examples:\n")
    return [line.strip().removeprefix(name).strip() for line in lines.splitlines() if line.strip()]


@pytest.mark.parametrize("command", [[], *SUBCOMMANDS], ids=" ".join)
def test_help_is_fast_because_it_imports_nothing_slow(command):
    modules = loaded(*command, "--help")
    assert "ospo_cli" in modules
    assert modules & SLOW_TO_IMPORT == set()


def test_a_slow_import_is_seen():
    """The negative control: an evaluation needs what its help does not."""
    assert {"polars", "gymnasium"} <= loaded("evaluate", "--env", "OSPO-ESCI-v0", "--policy", "qurey")


def test_help_in_seconds():
    assert median_is_below(0.3, "--help")
    assert all(median_is_below(1.0, program, "--help") for program in PROGRAMS)
    assert not median_is_below(0.001, "--help")  # negative control


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=" ".join)
def test_each_help_has_two_examples_and_whole_phrases(command):
    name = " ".join(["ospo", *command])
    shown = ospo(*command, "--help").stdout
    assert shown.startswith(f"usage: {name} ")
    assert len(examples(shown, name)) >= 2


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_texts_are_whole_phrases(program, monkeypatch):
    """A phrase says what an option is; it does not go on from the option's name ("--seed: of the draw")."""
    parsers = []
    monkeypatch.setattr(Parser, "parse_args", lambda self, argv=None: parsers.append(self) or 1 / 0)
    monkeypatch.setattr(Parser, "parse_known_args", lambda self, argv=None: parsers.append(self) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(f"ospo_cli.{program.replace('-', '_')}").main([])
    (parser,) = parsers
    below = [
        part for action in parser._actions if hasattr(action.choices, "values") for part in action.choices.values()
    ]
    for action in [action for part in (parser, *below) for action in getattr(part, "_actions", [])]:
        assert action.help, action.dest
        assert not action.help.startswith(("of ", "else ", "at ", "in ", "where ", "which ")), action.help


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=" ".join)
def test_examples_are_commands_that_parse(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = " ".join(["ospo", *command])
    program = importlib.import_module(f"ospo_cli.{command[0].replace('-', '_')}")
    parse = getattr(program, "parse", None) or (lambda argv: program._parser().parse_args(argv))
    for example in examples(ospo(*command, "--help").stdout, name):
        parse([*command[1:], *shlex.split(example)])


def test_an_example_that_does_not_parse_is_found(capsys):
    """The negative control of the test above."""
    with pytest.raises(SystemExit):
        prepare.parse(["esci", "--source", "DIR"])
    assert "--out" in capsys.readouterr().err


def test_defaults_in_the_help_are_those_of_the_functions():
    from envs_data.official.hm import MAX_QUERIES
    from ospo_cli._sb3_settings import ACTIONS
    from ospo_env.wrappers.choices import KEYWORD_SPACES

    assert ACTIONS == (*KEYWORD_SPACES, "templates")
    assert prepare.parse(["hm", "--source", "a", "--out", "b"]).max_queries == MAX_QUERIES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "error: unknown program 'trian'; did you mean 'train'? See ospo --help"),
        (["\x1b[2J"], r"error: unknown program '\x1b[2J'; see ospo --help"),
        (
            ["evaluate", "--env", "e", "--policy", "p", "--retriver=bm25"],
            "error: unrecognized arguments: --retriver=bm25; did you mean --retrievers? See ospo evaluate --help",
        ),
        (
            ["prepare", "hm", "--source", "a", "--out", "b", "--max-querys", "3"],
            "error: unrecognized arguments: --max-querys 3; did you mean --max-queries? See ospo prepare --help",
        ),
        (
            ["train-sb3", "--env", "e", "--out", "o", "--settings", "["],
            "error: argument --settings: expected YAML, such as '{width: 8}'; got '[': while parsing a flow node "
            "expected the node content, but found '<stream end>' in \"<unicode string>\", line 1, column 2: [ ^; "
            "see ospo train-sb3 --help",
        ),
        (
            ["explain", "--text", "red", "--zzz\x1b[2J", "1"],
            "error: unrecognized arguments: --zzz\ufffd[2J 1; see ospo explain --help",
        ),
    ],
)
def test_a_wrong_word_gets_one_line(arguments, message):
    done = ospo(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{message}\n")


def test_scripts_and_the_module_call_themselves_by_their_own_names():
    script = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "report.py"), "--runs"], capture_output=True, text=True
    )
    assert script.stderr == "error: the following arguments are required: --run; see python scripts/report.py --help\n"
    assert (
        ospo_process("report").stderr == "error: the following arguments are required: --run; see ospo report --help\n"
    )


def test_version():
    from importlib.metadata import version

    assert ospo_process("--version").stdout == f"ospo {version('ospo')}\n"


def test_a_missing_package_is_named_with_its_extra():
    program = (
        "import sys\n"
        "sys.modules['transformers'] = None\n"
        "sys.argv = ['ospo', 'train', '--preset', 'demo', '--steps', '2', '--out', 'nowhere']\n"
        "from ospo_cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "pip install 'ospo[agents]'" in line


def test_each_extra_brings_its_modules():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for module, extra in EXTRAS.items():
        if module == "datasets":  # trl brings it
            continue
        names = [name.replace("-", "_") for name in extras[extra]]
        assert any(name.startswith(f"{module}>") for name in names), module


class TestScripts:
    """What ``python scripts/X.py`` starts."""

    def sources(self):
        return sorted((ROOT / "scripts").glob("*.py"))

    def test_each_is_a_docstring_an_import_and_a_main_guard(self):
        import ast

        assert {path.stem.replace("_", "-") for path in self.sources()} == set(PROGRAMS)
        for path in self.sources():
            lines = path.read_text().splitlines()
            assert len(lines) <= 8, path
            kinds = [type(node).__name__ for node in ast.parse(path.read_text()).body]
            assert kinds[0] == "Expr", path
            assert kinds[-1] == "If", path
            assert set(kinds[1:-1]) == {"ImportFrom"}, path
        assert sum(len(path.read_text().splitlines()) for path in self.sources()) <= 7 * len(PROGRAMS)

    def test_the_folders_are_no_packages(self):
        """``import agents`` and ``import scripts`` must never find this project."""
        for folder in ("agents", "scripts"):
            assert (ROOT / folder).is_dir()
            assert not (ROOT / folder / "__init__.py").exists()


def test_a_parser_shows_its_examples():
    parser = Parser("evaluate", examples=["--one", "--two"], epilog="Afterwards.")
    shown = parser.format_help()
    assert "Afterwards.\n\nexamples:\n  ospo evaluate --one\n  ospo evaluate --two" in shown
