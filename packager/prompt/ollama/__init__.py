"""All that knows Ollama's formats: the Modelfile's grammar, and its prompt templates.

`modelfile` writes and reads Modelfiles. `go_template` derives a Go template from a role format.
`composed` makes a Modelfile of both. `hub_files` says the same in the files of a Hub repo.
`simulated` renders it in pure Python, messages prepared as Ollama prepares them.
"""
