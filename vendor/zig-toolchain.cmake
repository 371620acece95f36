# Cross-compiles llama.cpp with the C and C++ compiler of the ziglang wheel (packager/clinic/cross_compile.py).
#   ZIG_TOOLS   folder of the wrappers cc, c++, ar, ranlib and rc, each of which calls zig
#   ZIG_SYSTEM  Linux or Windows
#   ZIG_CPU     x86_64 or aarch64
# CMake tries compilers in projects of its own; they need these three as well.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZIG_TOOLS ZIG_SYSTEM ZIG_CPU)

set(CMAKE_SYSTEM_NAME ${ZIG_SYSTEM})
set(CMAKE_SYSTEM_PROCESSOR ${ZIG_CPU})

set(CMAKE_C_COMPILER ${ZIG_TOOLS}/cc)
set(CMAKE_CXX_COMPILER ${ZIG_TOOLS}/c++)
set(CMAKE_AR ${ZIG_TOOLS}/ar CACHE FILEPATH "")
set(CMAKE_RANLIB ${ZIG_TOOLS}/ranlib CACHE FILEPATH "")
set(CMAKE_RC_COMPILER ${ZIG_TOOLS}/rc)

# Nothing of the building machine is looked at, neither its libraries nor its headers.
set(CMAKE_FIND_ROOT_PATH ${ZIG_TOOLS}/no-sysroot)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
