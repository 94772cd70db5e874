"""Readers of the official ESCI and H&M files, and the prepared form made of them."""
