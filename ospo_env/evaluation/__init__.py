"""Policies that need no learner, stored rewrites, and files for other evaluation tools."""
