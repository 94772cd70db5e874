"""An agent of your own in a bare loop: REINFORCE in numpy, on ``gym.make_vec`` alone.

It reads a prompt as a bag of words and sends the query followed by one phrase. Run it from the repository:
``python examples/reinforce.py``.
"""

import zlib

import gymnasium as gym
import numpy as np

from ospo_env.text import tokens
from ospo_env.wrappers.phrases import catalogue_phrases

ENVS, STEPS, SHOWN, FEATURES, PHRASES, RATE = 64, 600, 100, 4096, 64, 8.0


def features(prompts: tuple[str, ...]) -> np.ndarray:
    """Bags of hashed words (B, F), of unit length."""
    bags = np.zeros((len(prompts), FEATURES))
    for bag, prompt in zip(bags, prompts, strict=True):
        for word in tokens(prompt):
            bag[zlib.crc32(word.encode()) % FEATURES] += 1.0
    return bags / np.maximum(np.linalg.norm(bags, axis=1, keepdims=True), 1.0)


def main(seed: int = 0) -> None:
    """Learn, and print the mean reward of each hundred steps."""
    envs = gym.make_vec("ospo_env:OSPO-HM-v0", num_envs=ENVS)
    phrases = ("", *catalogue_phrases(envs.unwrapped.task, PHRASES))
    rng = np.random.default_rng(seed)
    weights = np.zeros((FEATURES, len(phrases)))
    prompts, infos = envs.reset(seed=seed)
    baseline, rewards = 0.0, []
    for step in range(1, STEPS + 1):
        bags = features(prompts)
        logits = bags @ weights
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        actions = np.array([rng.choice(len(phrases), p=chance) for chance in chances])
        texts = [f"{query}, {phrases[action]}" for query, action in zip(infos["query"], actions, strict=True)]
        prompts, reward, _, _, infos = envs.step(texts)  # the next prompts: an episode is one step
        advantage = reward - (baseline if rewards else reward.mean())
        baseline += 0.1 * (reward.mean() - baseline) if rewards else reward.mean()
        gradient = (np.eye(len(phrases))[actions] - chances) * advantage[:, None]  # of log-probabilities
        weights += RATE * bags.T @ gradient / np.sqrt(ENVS)
        rewards.append(reward.mean())
        if step % SHOWN == 0:
            print(f"step {step:4d}  nDCG@10 {np.mean(rewards[-SHOWN:]):.3f}")  # noqa: T201


if __name__ == "__main__":
    main()
