"""A package: its files (`contents`, `manifest`), its texts (`card`, `model_index`), its base's licence (`licence`),
what its GGUF files say of their origin (`gguf_metadata`), its signature (`signing`), and whether a copy of it is
whole (`verify`).
"""
