/* exp, erf and ln from additions, multiplications and divisions alone, each of which IEEE 754 rounds in one way:
 * the same bits on every machine when compiled without contraction (-ffp-contract=off). */
#include "portable.h"
#include <stdint.h>
#include <string.h>

static double power_of_two(int exponent) {
    uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* 1 / n! */
static const double INVERSE[14] = {
    1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
    1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0,
};

/* x = k ln 2 + r, |r| <= 0.35; Taylor's series to r^13 is exact to 1e-16. Below -700: 0; above 700: as at 700. */
double knowledge_exp(double x) {
    if (x < -700.0) return 0.0;
    if (x > 700.0) x = 700.0;
    double scaled = x * 1.4426950408889634;
    int k = (int)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    double r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10;
    double sum = INVERSE[13];
    for (int i = 12; i >= 0; i--) sum = sum * r + INVERSE[i];
    return sum * power_of_two(k);
}

/* x = m 2^k, 0.7 <= m < 1.42; ln m = 2 atanh((m - 1) / (m + 1)). */
double knowledge_ln(double x) {
    int k = 0;
    while (x >= 1.4142135623730951) { x *= 0.5; k++; }
    while (x < 0.7071067811865476) { x *= 2.0; k--; }
    double s = (x - 1.0) / (x + 1.0), square = s * s, sum = 0.0;
    for (int i = 21; i > 0; i -= 2) sum = sum * square + 1.0 / i;
    return 2.0 * s * sum + k * 0.69314718055994530942;
}

float knowledge_expf(float x) { return (float)knowledge_exp(x); }

/* Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: within 1.5e-7. */
float knowledge_erff(float single) {
    double x = single < 0 ? -(double)single : (double)single;
    double t = 1.0 / (1.0 + 0.3275911 * x);
    double sum = 1.061405429;
    sum = sum * t - 1.453152027;
    sum = sum * t + 1.421413741;
    sum = sum * t - 0.284496736;
    sum = sum * t + 0.254829592;
    double out = 1.0 - sum * t * knowledge_exp(-x * x);
    return (float)(single < 0 ? -out : out);
}
