"""Measure what models say on the same rows: likelihood, generated answers, and what others think of them.

`items` makes validation rows into tokens; `answers` runs a GGUF file over them, cached per row and
model; `overlap` and `bertscore` compare texts; `bootstrap` gives intervals; `measures` puts these
together. `probes`, `benchmarks` and `judge` (through an `endpoint`, by `criteria`) ask further questions.
"""
