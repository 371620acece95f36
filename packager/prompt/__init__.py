"""The chat template: the one source of truth for every prompt.

`template` renders conversations as transformers does, and turns text into token ids. `roles` takes
a template apart into a frame per role, which the Ollama template is derived from. `masking` finds
the tokens that are trained. `corpus` makes the conversations that every stage is proven on. Nothing
here knows a model by name.
"""
