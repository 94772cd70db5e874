"""The embedded sample: two small synthetic shops, made by this project and named as samples."""

from envs_data.sample.cache import CONTENT_VERSION, KINDS, load_sample, sample_data

__all__ = ["CONTENT_VERSION", "KINDS", "load_sample", "sample_data"]
