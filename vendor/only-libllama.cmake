# Included after project() when pip builds llama-cpp-python (see CMAKE_ARGS in the Makefile): the
# binding needs libllama only, and llama.cpp's "common" library would take as long again to compile.
# A normal variable outranks the cache entry that llama-cpp-python forces ON (CMake policy CMP0126).
set(LLAMA_BUILD_COMMON OFF)
