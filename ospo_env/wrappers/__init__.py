"""Numeric views of an environment of text, for learners that take arrays only, such as Stable-Baselines3's."""

from ospo_env.wrappers.numeric import (
    GainReward,
    KeywordActions,
    TemplateActions,
    VectorObservation,
    encode_prompts,
    open_encoder,
)

__all__ = ["GainReward", "KeywordActions", "TemplateActions", "VectorObservation", "encode_prompts", "open_encoder"]
