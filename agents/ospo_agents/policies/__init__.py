"""Policies: language models, a tiny one made from scratch, and models behind an endpoint."""
