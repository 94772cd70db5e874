"""The embedded sample: synthetic shops, made by this project, small, and honest about it in their names."""

from envs_data.sample.cache import CONTENT_VERSION, KINDS, load_sample, sample_data

__all__ = ["CONTENT_VERSION", "KINDS", "load_sample", "sample_data"]
