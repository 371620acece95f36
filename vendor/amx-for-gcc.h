// Included before llama.cpp's C++ where GCC compiles it (only-libllama.cmake).
//
// GCC's intrinsics for Intel AMX do not tell it which memory they read: ldtilecfg is said to read one pointer of the 64
// bytes of the tile configuration, tileloadd none. GCC then drops the writes to the configuration as dead, and the
// first tile instruction dies of SIGILL. These say what is read.
#if defined(__GNUC__) && !defined(__clang__) && defined(__AMX_TILE__)
#include <immintrin.h>

#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %X0" ::"m"(*(const char(*)[64])(config)))

#undef _tile_loadd
#define _tile_loadd(tile, base, stride) packager_tile_loadd(tile, base, stride)
#define packager_tile_loadd(tile, base, stride)                                                                       \
    __asm__ volatile("{tileloadd (%0,%1,1), %%tmm" #tile "|tileloadd %%tmm" #tile ", [%0+%1*1]}" ::                   \
                         "r"((const void *)(base)), "r"((long)(stride)) : "memory")
#endif
