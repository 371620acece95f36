"""Publishing to the Hub: what goes where (`staging`), what may not leave (`refusals`), and sending it (`sending`,
through `upload`).

Recipe and run folder -> the package as a model repo, optionally its adapter and merged weights as repos of
their own, and `push.json` in the run folder, which says at which commits.
"""
