# Included after project() when pip builds llama-cpp-python (see CMAKE_ARGS in the Makefile): the
# binding needs libllama only, and llama.cpp's "common" library would take as long again to compile.
# A normal variable outranks the cache entry that llama-cpp-python forces ON (CMake policy CMP0126).
set(LLAMA_BUILD_COMMON OFF)

# At this revision llama.cpp's kernels for Intel AMX die of SIGILL when GCC compiles them: it drops the writes to the
# tile configuration (llama.cpp pull request 26954). amx-for-gcc.h keeps them, which was run with GCC 13. With other
# compilers the kernels are left out: without this macro, which -march=native defines, AVX-512 takes their place.
function(packager_amx)
  if(TARGET ggml-cpu)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
      set(header ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/amx-for-gcc.h)
      target_compile_options(ggml-cpu PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-include \"${header}\">")
    else()
      target_compile_options(ggml-cpu PRIVATE -U__AMX_INT8__)
    endif()
  endif()
endfunction()
cmake_language(DEFER CALL packager_amx)

# libllama only arranges what the kernels compute, so it need not be optimized further than that compiling it takes two
# thirds of the time; and its files all read the same headers of the standard library, which here are read once.
function(packager_libllama)
  if(TARGET llama)
    target_compile_options(llama PRIVATE -O1)
    target_precompile_headers(llama PRIVATE <algorithm> <functional> <map> <memory> <regex> <string> <unordered_map>
                              <vector>)
  endif()
endfunction()
cmake_language(DEFER CALL packager_libllama)

# The quantizer must write the same bytes on every machine. Compilers fuse a product and a sum into one rounding where
# the processor can (and -march=native lets them), which moves the rounding of single weights. The kernels that
# models run with are in another library, and keep it.
#
# And it must not take longer than reading and writing: ggml-quants-by-lanes.c includes llama.cpp's ggml-quants.c and
# takes its place. It is compiled for the processor at hand, as those kernels are.
set(PACKAGER_QUANTIZER ${CMAKE_CURRENT_LIST_DIR}/ggml-quants-by-lanes.c)
function(packager_quantizer)
  if(TARGET ggml-base)
    target_compile_options(ggml-base PRIVATE -ffp-contract=off)
    get_target_property(sources ggml-base SOURCES)
    list(TRANSFORM sources REPLACE "^ggml-quants\\.c$" "${PACKAGER_QUANTIZER}")
    if(NOT PACKAGER_QUANTIZER IN_LIST sources)
      message(FATAL_ERROR "llama.cpp no longer compiles ggml-quants.c here: see vendor/ggml-quants-by-lanes.c")
    endif()
    set_target_properties(ggml-base PROPERTIES SOURCES "${sources}")
    if(GGML_NATIVE AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
      set_source_files_properties(${PACKAGER_QUANTIZER} TARGET_DIRECTORY ggml-base
                                  PROPERTIES COMPILE_OPTIONS -march=native)
    endif()
  endif()
endfunction()
cmake_language(DEFER CALL packager_quantizer)

# A merge is computed by merge-rows.c, with the processor's conversions of numbers that the kernels of models use. It
# also says which of our files were compiled: `make setup`, which knows the same order, compiles again when one changed.
set(PACKAGER_VENDOR ${CMAKE_CURRENT_LIST_DIR})
function(packager_merge)
  if(TARGET ggml-cpu)
    foreach(name only-libllama.cmake ggml-quants-by-lanes.c merge-rows.c amx-for-gcc.h)
      file(SHA256 ${PACKAGER_VENDOR}/${name} hash)
      string(APPEND hashes ${hash})
    endforeach()
    string(SHA256 compiled_from "${hashes}")
    target_sources(ggml-cpu PRIVATE ${PACKAGER_VENDOR}/merge-rows.c)
    set_source_files_properties(${PACKAGER_VENDOR}/merge-rows.c TARGET_DIRECTORY ggml-cpu
                                PROPERTIES COMPILE_DEFINITIONS "PACKAGER_COMPILED_FROM=\"${compiled_from}\"")
  endif()
endfunction()
if(PROJECT_NAME STREQUAL "ggml")
  cmake_language(DEFER CALL packager_merge)
endif()
