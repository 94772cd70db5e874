"""Worths of all coalitions and Shapley values of a text that you type; nothing is trained.

Run it from the repository: ``python examples/credit_any_text.py "slide sandal, womens, suede shearling"``.
"""

import sys

import gymnasium as gym

from ospo_agents import assign_credit

if __name__ == "__main__":
    text = sys.argv[1] if len(sys.argv) > 1 else "slide sandal, womens, suede shearling"
    env = gym.make("ospo_env:OSPO-ESCI-v0", retriever="bm25")
    prompt, info = env.reset(seed=6)

    # Cut the text into phrases, value subsets of them in one call of the retriever, divide the reward among them.
    (credited,) = assign_credit(env.unwrapped.task, [info["query_id"]], [text])
    pieces = [text[start:end].strip() for start, end in credited.spans]
    reward = env.step(text)[1]

    print(f"prompt: {prompt}\n\nworth  coalition")  # noqa: T201
    subsets = zip(credited.worths, credited.coalitions.tolist(), strict=True)
    for worth, kept in sorted(subsets, key=lambda pair: -pair[0])[:16]:
        print(f"{worth:.3f}  {' | '.join(piece for piece, keep in zip(pieces, kept, strict=True) if keep)}")  # noqa: T201
    print(f"\ncredit  segment ({credited.solution})")  # noqa: T201
    for value, piece in zip(credited.credit, pieces, strict=True):
        print(f"{value:+.3f}  {piece}")  # noqa: T201
    print(f"{credited.credit.sum():+.3f}  in sum, the reward is {reward:.3f}")  # noqa: T201
