"""Worths of all coalitions and Shapley values of a text that you type; nothing is trained.

Run it from the repository: ``python examples/credit_any_text.py "slide sandal, womens, suede shearling"``.
"""

import sys

import gymnasium as gym

from ospo_agents.credit import make_solution
from ospo_agents.segments import phrases

if __name__ == "__main__":
    text = sys.argv[1] if len(sys.argv) > 1 else "slide sandal, womens, suede shearling"
    env = gym.make("ospo_env:OSPO-ESCI-v0", retriever="bm25")
    prompt, info = env.reset(seed=6)

    spans = phrases(text)  # the players; they tile the text
    pieces = [text[start:end].strip() for start, end in spans]
    solution = make_solution("shapley" if len(spans) <= 12 else "sampled_shapley")
    coalitions = solution.plan(len(spans))  # bool (C, N), the empty one among them
    worths = env.unwrapped.coalition_values(text, spans, coalitions)  # (C,), in one call of the retriever
    credit = solution.solve(coalitions, worths)  # (N,)
    reward = env.step(text)[1]

    print(f"prompt: {prompt}\n\nworth  coalition")  # noqa: T201
    for worth, kept in sorted(zip(worths, coalitions.tolist(), strict=True), key=lambda pair: -pair[0])[:16]:
        print(f"{worth:.3f}  {' | '.join(piece for piece, keep in zip(pieces, kept, strict=True) if keep)}")  # noqa: T201
    print(f"\ncredit  segment ({solution.name})")  # noqa: T201
    for value, piece in zip(credit, pieces, strict=True):
        print(f"{value:+.3f}  {piece}")  # noqa: T201
    print(f"{credit.sum():+.3f}  in sum, the reward is {reward:.3f}")  # noqa: T201
