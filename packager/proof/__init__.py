"""The proof: how far a file predicts from another (`divergence`), what the checks of each stage say (`trained`,
`converted`, `quantized`, `modelfile`), whether Ollama's prompt is training's (`prompt_parity`), whether a file
answers (`smoke`), and which of several files fits a device (`fit`).
"""
