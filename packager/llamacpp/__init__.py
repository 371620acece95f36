"""All that knows vendor/llama.cpp and the llama_cpp binding; the rest of the program asks here.

`vendored` fetches llama.cpp's source, `converter` knows what its converter supports, and runs it. `gguf_file`
reads GGUF files, `quantizer` makes smaller ones of them; `imatrix` holds which of their columns
matter. `split` takes one apart. `model` runs one in this process, `parallel` for several prompts
at once. `binding` loads the library, `processor_check` asks whether it runs on this processor;
`half_precision` borrows its number conversions. The library and everything heavy is imported when
first used.
"""
