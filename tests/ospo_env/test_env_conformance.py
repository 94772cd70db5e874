"""The conformance kit: this package's environments pass it, and each wrong one breaks the clause it was made for."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest

import wrong_environments
import wrong_retrievers
from ospo_env import RewriteEnv, TaskError, make_retriever
from ospo_env.conformance import ENV_CLAUSES, ConformanceError, check_env, make_env_case
from ospo_env.registration import ENVIRONMENTS, SEARCH_ID
from ospo_env.retrievers.corpus import Corpus
from shop import documents, shop
from wrong_environments import WRONG, Right, RightAppended, RightInTurns

OWN = [registration.env_id for registration in ENVIRONMENTS if registration.sample is not None]
IN_TURNS = [{"compose": "append", "price": 0.0}, {"max_turns": 1, "retriever": "chargram", "shown": 0}]
NEED_A_PROCESS = ("processes",)


def broken(case, *but):
    """The clauses that a case breaks, of all but some; a clause that raises is broken."""
    found = []
    for name, clause in ENV_CLAUSES.items():
        if name not in but:
            try:
                if clause(case) is not None:
                    found.append(name)
            except Exception:
                found.append(name)
    return found


@pytest.mark.parametrize("env_id", OWN)
def test_the_environments_of_this_package_conform(env_id):
    check_env(env_id)


@pytest.mark.parametrize(
    "arguments",
    [
        {"candidates": "corpus"},
        {"retriever": "lsa", "metric": "RR", "split": "test"},
        {"compose": "append"},
        {"compose": "append", "query_weight": 3, "candidates": "corpus"},
        {"compose": "append", "query_weight": 6, "repeats": "once", "retriever": "chargram"},
        {"compose": "append", "repeats": "once", "retriever": "fusion:bm25+lsa"},
        {"repeats": "once"},
    ],
    ids=str,
)
def test_they_conform_whatever_their_arguments(arguments):
    made = partial(gym.make, OWN[0], render_mode="ansi", **arguments)
    assert broken(make_env_case(made), *NEED_A_PROCESS) == []


def test_the_environment_in_turns_conforms():
    check_env(SEARCH_ID)


@pytest.mark.parametrize("arguments", IN_TURNS, ids=str)
def test_it_conforms_whatever_its_arguments(arguments):
    made = partial(gym.make, SEARCH_ID, render_mode="ansi", **arguments)
    assert broken(make_env_case(made), *NEED_A_PROCESS) == []


def test_a_right_one_conforms_however_it_comes():
    check_env(Right)
    for env in (Right(), lambda: Right(), gym.make(OWN[0]), RightAppended(), RightInTurns()):
        assert broken(make_env_case(env), *NEED_A_PROCESS) == []


def test_a_retriever_of_your_own_conforms_in_its_place():
    made = make_retriever(wrong_retrievers.RightAndLinear, Corpus.of_texts(documents(), "digest"))
    check_env(RewriteEnv(data=shop(), retriever=made))
    assert broken(make_env_case(partial(RewriteEnv, data=shop(), retriever=made)), *NEED_A_PROCESS) == []


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_one_breaks_its_clause_and_no_other(wrong):
    slow = () if WRONG[wrong] == "processes" else NEED_A_PROCESS
    assert broken(make_env_case(wrong), *slow) == [WRONG[wrong]]


def test_every_clause_is_broken_by_something_and_says_what_it_asks():
    assert set(WRONG.values()) == set(ENV_CLAUSES)
    assert all(clause.__doc__ for clause in ENV_CLAUSES.values())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (wrong_environments.Reward, r"'reward': step earns .* with 'red coat' for query 'q\d\d'; task.rewards gives "),
        (wrong_environments.Hostile, r"'hostile': .* makes it raise UnicodeEncodeError"),
        (wrong_environments.Types, r"'types': expected a TypeError of step\(None\); it returns"),
        (wrong_environments.Ended, r"'ended': expected ResetNeeded of a second step; it returns"),
    ],
)
def test_the_error_names_the_clause_and_shows_the_counterexample(wrong, message):
    with pytest.raises(
        ConformanceError, match=rf"^environment '{wrong.__name__}' breaks the clause {message}"
    ) as error:
        check_env(wrong)
    assert error.value.clause == WRONG[wrong]
    assert "\n" not in str(error.value)


def test_an_environment_that_raises_breaks_the_clause_that_found_out():
    failing = make_retriever(wrong_retrievers.Raises, Corpus.of_texts(documents(), "digest"))
    with pytest.raises(ConformanceError, match=r"'gymnasium': it raises RetrieverError: .*no such index"):
        check_env(partial(RewriteEnv, data=shop(), retriever=failing, candidates="corpus"))


def test_texts_and_seed_of_your_own():
    case = make_env_case(Right, texts=["red coat", "red coat", "wool"], seed=5)
    assert case.texts == ("red coat", "wool")
    assert case.seeds != make_env_case(Right).seeds
    assert case.seeds == make_env_case(Right, seed=5).seeds
    assert broken(make_env_case(OWN[0], texts=["red coat"]), *NEED_A_PROCESS) == []


def test_the_texts_earn_something():
    """The negative control of all comparisons of rewards: they are not all 0, nor all alike."""
    for env in (Right, RightAppended, RightInTurns, SEARCH_ID, *OWN):
        case = make_env_case(env)
        rewards = [case.play(seed, text).reward for seed in case.seeds for text in case.texts]
        assert np.unique(rewards).size > 3


class Unportable(Right):
    def __init__(self):
        super().__init__()
        self.open = lambda: None


def test_what_cannot_be_checked():
    with pytest.raises(TaskError, match=r"'processes' needs .* pass an id, or a factory"):
        check_env(Unportable())
    with pytest.raises(TaskError, match=r"'processes' needs .* pass an id, or a factory"):
        check_env(lambda: Unportable())
    with pytest.raises(TaskError, match="at least one text"):
        check_env(Right, texts=[])
    with pytest.raises(TaskError, match="cannot make the environment 'OSPO-ESCI-v9'"):
        check_env("OSPO-ESCI-v9")
    for other in ("CartPole-v1", dict, 7):
        with pytest.raises(TaskError, match="with a task behind it"):
            check_env(other)
