"""Retrieval tasks as Gymnasium environments of text. Knows no learner, and imports no torch.

Importing the package registers the ids of :data:`~ospo_env.registration.ENVIRONMENTS` with Gymnasium, so that
``gym.make("ospo_env:OSPO-ESCI-v0")`` works in a fresh interpreter.
"""

from importlib.metadata import version as _version

from ospo_env.env import RewriteEnv
from ospo_env.errors import RetrieverError, TaskError
from ospo_env.evaluation.feedback import feedback_policy
from ospo_env.evaluation.reference_policies import REFERENCE_POLICIES, make_reference_policy
from ospo_env.evaluation.rewrites import Rewrites, read_rewrites, rescore, write_rewrites
from ospo_env.prompts import Query
from ospo_env.registration import register_environments as _register_environments
from ospo_env.retrievers import Corpus, Retriever, make_retriever, register_retriever
from ospo_env.reward_tasks import ContrastTask, MeanTask
from ospo_env.spaces import FreeText
from ospo_env.task import RetrievalTask
from ospo_env.turns.env import SearchEnv
from ospo_env.turns.task import SearchTask
from ospo_env.turns.vector import SearchVectorEnv
from ospo_env.vector import RewriteVectorEnv

__all__ = [
    "REFERENCE_POLICIES",
    "ContrastTask",
    "Corpus",
    "FreeText",
    "MeanTask",
    "Query",
    "RetrievalTask",
    "Retriever",
    "RetrieverError",
    "RewriteEnv",
    "RewriteVectorEnv",
    "Rewrites",
    "SearchEnv",
    "SearchTask",
    "SearchVectorEnv",
    "TaskError",
    "feedback_policy",
    "make_reference_policy",
    "make_retriever",
    "read_rewrites",
    "register_retriever",
    "rescore",
    "write_rewrites",
]

__version__ = _version("ospo")

_register_environments()
