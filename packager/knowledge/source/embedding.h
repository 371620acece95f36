/* e5's vector of a text, by the fastest way that this processor has; every way computes the same bits. */
#ifndef KNOWLEDGE_EMBEDDING_H
#define KNOWLEDGE_EMBEDDING_H
#include <e5.h>

/* As e5_embed of e5.h. */
int embed(e5_model *model, const char *text, int is_query, float *out);
/* e5.c's own path for AVX2 (embedding_avx2.c); nothing but -1 where it was not compiled. */
int embed_by_avx2(e5_model *model, const char *text, int is_query, float *out);
#endif
