/* e5.c once more, under other names, with the real instructions: only called where the processor has them. */
#include "embedding.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "portable.h"

#define e5_load avx2_load
#define e5_load_mem avx2_load_mem
#define e5_free avx2_free
#define e5_token_count avx2_token_count
#define e5_dim avx2_dim
#define e5_embed embed_by_avx2
#define e5_embed_batch avx2_embed_batch
#define e5_load_sae avx2_load_sae
#define e5_sparse_dim avx2_sparse_dim
#define e5_embed_sparse avx2_embed_sparse
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#ifndef __AVX2__
#define __AVX2__ 1
#endif
#include <e5.c>
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
int embed_by_avx2(e5_model *model, const char *text, int is_query, float *out) {
    (void)model, (void)text, (void)is_query, (void)out;
    return -1;
}
#endif
