"""A package: its texts (`card`, `model_index`), its base's licence (`licence`), its signature (`signing`), and
whether a copy of it is whole (`verify`).
"""
