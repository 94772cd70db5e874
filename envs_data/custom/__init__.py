"""A user's own tables and BEIR directories, and the prepared form made of them."""
