"""The proof: how far a file predicts from another (`divergence`), whether it answers (`smoke`), and which of
several files fits a device (`fit`).
"""
