"""The settings of an agent of Stable-Baselines3, light enough for ``--help``."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from ospo_agents.errors import AgentError, unknown

__all__ = ["ACTIONS", "ALGOS", "PHRASES", "STEPS", "TEMPLATES", "AgentSettings"]

ALGOS: Mapping[str, str] = MappingProxyType(
    {"ppo": "proximal policy optimisation", "a2c": "advantage actor-critic", "dqn": "deep Q-learning"}
)
TEMPLATES = "templates"
ACTIONS = ("multidiscrete", "multibinary", TEMPLATES)
"""Kinds of actions: the spaces of keywords, and templates."""

PHRASES: Mapping[str, int] = MappingProxyType({"ppo": 64, "a2c": 32, "dqn": 32})
STEPS: Mapping[str, int] = MappingProxyType({"ppo": 30_000, "a2c": 30_000, "dqn": 20_000})
_SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 32, "batch_size": 256, "n_epochs": 8, "ent_coef": 1e-3, "learning_rate": 1e-3},
    "a2c": {
        "n_steps": 4,
        "ent_coef": 5e-3,
        "normalize_advantage": True,
        "use_rms_prop": False,
        "learning_rate": 3e-3,
    },
    "dqn": {
        "learning_starts": 1000,
        "train_freq": 4,
        "gradient_steps": 16,
        "batch_size": 128,
        "exploration_fraction": 0.7,
        "learning_rate": 1e-3,
    },
}
_OF_KEYWORDS: dict[str, Any] = {"most": 3, "template": "{query}, {phrases}"}
_FIXED = ("gamma", "seed", "device")


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """Observations, actions and learning of an agent of Stable-Baselines3; None takes the algorithm's own default.

    Attributes:
        algo: Algorithm, a name in :data:`ALGOS`.
        steps: Steps of all environments together.
        seed: Seed of initial weights, order of prompts and exploration.
        encoder: Retriever whose vectors are observed.
        actions: Kind of the actions, one of :data:`ACTIONS`.
        phrases: Number of phrases of the catalogue to choose from.
        most: Phrases in a rewrite; None with templates.
        template: Place of the phrases in a rewrite; None with templates.
        settings: Keyword arguments of the algorithm, over this project's.
    """

    algo: str = "ppo"
    steps: int | None = None
    seed: int = 0
    encoder: str = "lsa?dimensions=256"
    actions: str | None = None
    phrases: int | None = None
    most: int | None = None
    template: str | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put defaults in the place of None."""
        defaults: dict[str, Any] = {"actions": TEMPLATES if self.algo == "dqn" else ACTIONS[0]}
        defaults |= {"steps": STEPS.get(self.algo), "phrases": PHRASES.get(self.algo)}
        if (self.actions or defaults["actions"]) != TEMPLATES:
            defaults |= _OF_KEYWORDS
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if isinstance(self.settings, Mapping):
            object.__setattr__(self, "settings", {**_SETTINGS.get(self.algo, {}), **self.settings})

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The settings among some values; what is missing has its default."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})

    @property
    def policy_kwargs(self) -> dict[str, Any]:
        """Keyword arguments of the policy's network."""
        return dict(self.settings.get("policy_kwargs", {"net_arch": [256]}))

    def as_json(self) -> dict[str, Any]:
        """All settings by name, as ``run.json`` holds them."""
        return dataclasses.asdict(self)

    def check(self, spell: Callable[[str], str] = str) -> None:
        """Check every setting but the names in ``settings``, which are Stable-Baselines3's.

        Args:
            spell: Spelling of a setting's name in messages.

        Raises:
            AgentError: A setting has a value that it cannot have.
        """
        if self.algo not in ALGOS:
            raise unknown("algorithm", self.algo, ALGOS)
        if self.actions not in ACTIONS:
            raise unknown("kind of actions", self.actions, ACTIONS)
        if self.algo == "dqn" and self.actions != TEMPLATES:
            raise AgentError(f"{spell('actions')} {self.actions}: dqn chooses one of some actions; use templates")
        for name in _OF_KEYWORDS:
            if self.actions == TEMPLATES and getattr(self, name) is not None:
                kinds = " and ".join(kind for kind in ACTIONS if kind != TEMPLATES)
                raise AgentError(f"{spell(name)} is of {spell('actions')} {kinds}; leave it out with templates")
        for name, least in (("steps", 1), ("phrases", 1), ("seed", 0)):
            value = getattr(self, name)
            if not least <= value < 2**31:
                raise AgentError(f"{spell(name)}: expected at least {least}, got {value}")
        self._check_settings(spell("settings"))

    def _check_settings(self, name: str) -> None:
        if not isinstance(self.settings, Mapping) or not all(isinstance(key, str) for key in self.settings):
            raise AgentError(f"{name}: expected a mapping such as '{{n_steps: 64}}', got {self.settings!r}")
        for key in _FIXED:
            if key in self.settings:
                raise AgentError(f"{name}: {key} is not to be set there; gamma is 0, since an episode is one step")
        rate = self.settings["learning_rate"]
        if not isinstance(rate, int | float) or not math.isfinite(rate) or rate <= 0:
            raise AgentError(f"{name}: expected learning_rate as a finite number above 0, got {rate!r}")
        if not isinstance(self.settings.get("policy_kwargs", {}), Mapping):
            raise AgentError(f"{name}: expected policy_kwargs as a mapping such as '{{net_arch: [64]}}'")
