"""Vector environments over the test shop, native and Gymnasium's own, and all that a caller sees of them."""

import functools

from gymnasium.vector import AutoresetMode, SyncVectorEnv

from ospo_env import RewriteEnv, RewriteVectorEnv
from shop import shop

ACTIONS = ["red shoe", "", "black wool coat, and many more words than the cap", "\ud83d 👟", "linen", "qzxv"]
N = 3


def native(num_envs=N, **arguments):
    return RewriteVectorEnv(num_envs, data=shop(), max_words=4, **arguments)


def reference(num_envs=N, **arguments):
    """Gymnasium's own vectorisation of N single environments, in the same autoreset mode."""
    make = functools.partial(RewriteEnv, data=shop(), max_words=4, **arguments)
    return SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def actions_of(step, num_envs=N):
    return tuple(ACTIONS[(step * num_envs + index) % len(ACTIONS)] for index in range(num_envs))


def trajectory(envs, seed, steps=8):
    """All that a caller sees: a seeded reset, steps, an unseeded reset in their middle."""
    seen = [envs.reset(seed=seed)]
    for step in range(steps):
        seen.append(envs.step(actions_of(step, envs.num_envs)))
        if step == steps // 2:
            seen.append(envs.reset())
    return seen
