"""Adapters of other trainers. Each is a module of its own that needs its trainer's package; none imports another's."""
