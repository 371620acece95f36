"""The chat template: the one source of truth for every prompt.

`template` renders conversations as transformers does, and turns text into token ids. `deriving` takes
a base's template apart into a frame per role (`roles`), with thinking switched off (`thinking`), and
notes where that departs from the base's own (`departures`). `frozen` writes the template that training
and serving share, `ollama` the same for Ollama. `masking` finds
the tokens that are trained. `corpus` makes the conversations that every stage is proven on. Nothing
here knows a model by name.
"""
