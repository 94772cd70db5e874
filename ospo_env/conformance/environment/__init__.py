"""The contract of an environment, of one step an episode or in turns, clause by clause."""
