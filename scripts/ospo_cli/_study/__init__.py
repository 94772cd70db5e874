"""Parts of ``ospo study``: its plan, its processes, its numbers, tables and pictures."""
