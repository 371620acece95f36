/* What e5.c uses of AVX2, in plain C, for processors that have none of it (ARM): every lane computes what the
 * instruction computes, fused multiply-add included, so that the vectors are the same to the last bit. It lies on the
 * path of headers before the compiler's own, which whoever does not ask for it gets (embedding_avx2.c, Windows' own
 * headers). */
#ifndef KNOWLEDGE_PORTABLE
#include_next <immintrin.h>
#elif !defined(KNOWLEDGE_IMMINTRIN_H)
#define KNOWLEDGE_IMMINTRIN_H
#include <stdint.h>
#include <string.h>

typedef struct { float f[4]; } __m128;
typedef struct { float f[8]; } __m256;
typedef struct { uint8_t b[16]; } __m128i;
typedef struct { union { uint8_t u8[32]; int8_t s8[32]; int16_t s16[16]; int32_t s32[8]; } v; } __m256i;

#if defined(__FMA__) || defined(__aarch64__)
static inline float knowledge_fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
/* The product is exact in a double. The sum is rounded once to a double and once to a float, which is the same as once,
 * unless the double lies just between two floats: then, rarely, the C library computes it. */
static inline float knowledge_fused(float a, float b, float c) {
    double sum = (double)a * b + c;
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return (bits & 0x1fffffff) == 0x10000000 ? __builtin_fmaf(a, b, c) : (float)sum;
}
#endif

#define LANES(n) for (int i = 0; i < (n); i++)
static inline __m256 _mm256_setzero_ps(void) { __m256 o; LANES(8) o.f[i] = 0.f; return o; }
static inline __m256 _mm256_set1_ps(float x) { __m256 o; LANES(8) o.f[i] = x; return o; }
static inline __m256i _mm256_set1_epi16(short x) { __m256i o; LANES(16) o.v.s16[i] = x; return o; }
static inline __m256i _mm256_loadu_si256(const __m256i *p) { __m256i o; memcpy(&o, p, 32); return o; }
/* Products of a nibble (0..15) and an int8 never reach the bound at which the instruction saturates. */
static inline __m256i _mm256_maddubs_epi16(__m256i a, __m256i b) {
    __m256i o;
    LANES(16) o.v.s16[i] = (int16_t)(a.v.u8[2 * i] * b.v.s8[2 * i] + a.v.u8[2 * i + 1] * b.v.s8[2 * i + 1]);
    return o;
}
static inline __m256i _mm256_madd_epi16(__m256i a, __m256i b) {
    __m256i o;
    LANES(8) o.v.s32[i] = a.v.s16[2 * i] * b.v.s16[2 * i] + a.v.s16[2 * i + 1] * b.v.s16[2 * i + 1];
    return o;
}
static inline __m256 _mm256_cvtepi32_ps(__m256i a) { __m256 o; LANES(8) o.f[i] = (float)a.v.s32[i]; return o; }
static inline __m256 _mm256_fmadd_ps(__m256 a, __m256 b, __m256 c) {
    __m256 o;
    LANES(8) o.f[i] = knowledge_fused(a.f[i], b.f[i], c.f[i]);
    return o;
}
static inline __m128 _mm256_castps256_ps128(__m256 a) { __m128 o; memcpy(&o, a.f, 16); return o; }
static inline __m128 _mm256_extractf128_ps(__m256 a, int half) { __m128 o; memcpy(&o, a.f + 4 * half, 16); return o; }
static inline __m128 _mm_add_ps(__m128 a, __m128 b) { LANES(4) a.f[i] += b.f[i]; return a; }
static inline __m128 _mm_add_ss(__m128 a, __m128 b) { a.f[0] += b.f[0]; return a; }
static inline __m128 _mm_movehl_ps(__m128 a, __m128 b) {
    __m128 o = {{b.f[2], b.f[3], a.f[2], a.f[3]}};
    return o;
}
static inline __m128 _mm_shuffle_ps(__m128 a, __m128 b, int w) {
    __m128 o = {{a.f[w & 3], a.f[(w >> 2) & 3], b.f[(w >> 4) & 3], b.f[(w >> 6) & 3]}};
    return o;
}
static inline float _mm_cvtss_f32(__m128 a) { return a.f[0]; }
static inline __m128i _mm_loadu_si128(const __m128i *p) { __m128i o; memcpy(&o, p, 16); return o; }
static inline __m128i _mm_set1_epi8(char x) { __m128i o; LANES(16) o.b[i] = (uint8_t)x; return o; }
static inline __m128i _mm_and_si128(__m128i a, __m128i b) { LANES(16) a.b[i] &= b.b[i]; return a; }
static inline __m128i _mm_srli_epi16(__m128i a, int n) {
    uint16_t w[8];
    memcpy(w, &a, 16);
    LANES(8) w[i] = (uint16_t)(w[i] >> n);
    memcpy(&a, w, 16);
    return a;
}
static inline __m256i _mm256_set_m128i(__m128i hi, __m128i lo) {
    __m256i o;
    memcpy(o.v.u8, &lo, 16);
    memcpy(o.v.u8 + 16, &hi, 16);
    return o;
}
#undef LANES
#endif
