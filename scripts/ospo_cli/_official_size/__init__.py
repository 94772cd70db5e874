"""Synthetic files in the official schemas and sizes."""
