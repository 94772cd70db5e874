"""A rewrite as a game of shapiq, with all of its values, interactions and approximators; needs ``pip install shapiq``.

Run it from the repository: ``python examples/shapiq_game.py "slide sandal, womens, suede shearling"``.
"""

import sys
from typing import Any

import gymnasium as gym
import numpy as np
import shapiq
from numpy.typing import NDArray

from ospo_agents.segments import phrases


class RewriteGame(shapiq.Game):
    """Worths of the subsets of a rewrite's phrases, for the prompt of an environment that was reset."""

    def __init__(self, env: gym.Env[str, str], text: str) -> None:
        self.env: Any = env.unwrapped
        self.text, self.spans = text, phrases(text)
        super().__init__(len(self.spans), normalize=False)

    def value_function(self, coalitions: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Worths, float (C,), of coalitions (C, N)."""
        worths: NDArray[np.float64] = self.env.coalition_values(self.text, self.spans, coalitions.astype(bool))
        return worths


if __name__ == "__main__":
    text = sys.argv[1] if len(sys.argv) > 1 else "slide sandal, womens, suede shearling"
    env = gym.make("ospo_env:OSPO-ESCI-v0", retriever="bm25")
    prompt, _ = env.reset(seed=6)
    game = RewriteGame(env, text)
    exact = shapiq.ExactComputer(game)
    for name in ("SV", "k-SII"):
        print(f"{name}, of {game.n_players} phrases")  # noqa: T201
        values = exact(name, order=1 if name == "SV" else 2).dict_values
        for players, value in sorted(values.items(), key=lambda entry: (len(entry[0]), entry[0])):
            if players:
                print(f"{value:+.3f}  {' & '.join(text[slice(*game.spans[i])].strip() for i in players)}")  # noqa: T201
