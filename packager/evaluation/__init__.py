"""Measure what models say on the same rows: likelihood, generated answers, and what others think of them.

`items` makes validation rows into tokens, `sets` chooses them; `models` runs the files that are compared, through
`answers`, cached per row and model; `scores` says what they made of the rows. `overlap` and `bertscore` compare
texts; `bootstrap` gives intervals; `measures` puts these together. `probes`, `benchmarks` and `judge` (through an
`endpoint`, by `criteria`) ask further questions.
"""
