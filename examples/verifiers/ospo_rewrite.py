"""The rewriting task as a taskset: ``PYTHONPATH=examples/verifiers vf-eval ospo-rewrite --model MODEL``."""

from ospo_agents.integrations.segment_credit import segment_credit
from ospo_agents.policies.prompt_format import INSTRUCTION, PromptFormat
from ospo_env.integrations.verifiers import rewrite_taskset

__all__ = ["OspoRewrite"]

OspoRewrite = rewrite_taskset(PromptFormat(answer_tags=True).rewrite, segment_credit, INSTRUCTION)
