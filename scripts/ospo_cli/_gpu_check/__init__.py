"""Parts of ``ospo gpu-check``."""
