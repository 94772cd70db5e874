"""The contract of an environment of one step an episode, clause by clause."""
