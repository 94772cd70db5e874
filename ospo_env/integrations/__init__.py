"""Tasks behind other projects' interfaces. Each module needs its project's package; none imports another's."""
