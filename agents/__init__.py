"""OSPO."""
