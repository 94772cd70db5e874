"""The rewrite service behind ``ospo serve``: answers in batches, a cache and a deadline, metrics, and HTTP."""
