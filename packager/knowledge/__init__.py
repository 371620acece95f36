"""Approved material: passages, the search over them, and what of an answer stands in them (docs/knowledge.md)."""
