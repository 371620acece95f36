// Rows of a matrix and the adapter's product that is added to them -> their FP16 bits, and how much of it is in them.
//
// Compiled into llama.cpp's library of kernels (only-libllama.cmake), for the processor at hand. What is computed is
// said in packager/checkpoint/lora.py (`Pair.merged`) and change.py (`change_of`): there each step goes over all rows
// before the next, here all steps over a few thousand weights, which stay in a near cache. The bits are the same
// (tests/checkpoint/test_merge_kernel.py): no sum of the product is rounded, whatever its order.

#include <stdint.h>
#include <string.h>

#include "ggml-cpu.h"

enum { LANES = 8, HALF = LANES / 2, LOT = 16, TILE = 512, ROWS = 6 };  // llama.cpp's converters take lots of 16

typedef float floats __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef double doubles __attribute__((vector_size(HALF * sizeof(double)), aligned(sizeof(double)), may_alias));
typedef float half_floats __attribute__((vector_size(HALF * sizeof(float)), aligned(sizeof(float)), may_alias));

struct factors {
    const double * b;  // [rows, rank]
    const double * a;  // [columns / LANES, rank, LANES]: panels, which lie together in the cache
    const float * meant_b, * meant_a;  // the same, of rank `meant_rank`
    int64_t rank, meant_rank, columns;
};

// What is summed over the weights: W' is what is written, U the update that was meant, R the FP16 number that is nearest
// to T, what was there before with U added.
struct found {
    double square;     // U^2
    double lost;       // (R - T) U
    double rounding;   // (R - T)^2
    double along;      // (W' - R) U
    double odd;        // (W' - R)^2
    double ties;       // (W' - R)^2 U^2
    double odd_rounding;  // (W' - R) (R - T)
    double largest;    // the largest |W'|, as FP16 bits
};

static double sum(floats lanes) {
    double found = 0;
    for (int i = 0; i < LANES; i++) found += (double) lanes[i];
    return found;
}

// LANES columns of ROWS rows of both products, from rows of B and a panel of A.
static void products(const double * const * b, const double * a, int64_t rank, float * product) {
    doubles left[ROWS] = {0}, right[ROWS] = {0};
    for (int64_t k = 0; k < rank; k++, a += LANES) {
        const doubles a_left = *(const doubles *) a, a_right = *(const doubles *) (a + HALF);
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++) {
            left[r] += a_left * b[r][k];
            right[r] += a_right * b[r][k];
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++) {
        *(half_floats *) (product + r * TILE) = __builtin_convertvector(left[r], half_floats);
        *(half_floats *) (product + r * TILE + HALF) = __builtin_convertvector(right[r], half_floats);
    }
}

// The same of the update that was meant, in float32.
static void updates(const float * const * b, const float * a, int64_t rank, float * update) {
    floats sums[ROWS] = {0};
    for (int64_t k = 0; k < rank; k++, a += LANES) {
        const floats column = *(const floats *) a;
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++) sums[r] += column * b[r][k];
    }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++) *(floats *) (update + r * TILE) = sums[r];
}

// The few lots whose bits are not the nearest.
static void add_odd(const uint16_t * bits, const uint16_t * nearest, const float * update, const float * rounding,
                    struct found * found) {
    float is[LOT], would_be[LOT];
    ggml_cpu_fp16_to_fp32((const ggml_fp16_t *) bits, is, LOT);
    ggml_cpu_fp16_to_fp32((const ggml_fp16_t *) nearest, would_be, LOT);
    for (int i = 0; i < LOT; i++) {
        const double odd = (double) (is[i] - would_be[i]), along = odd * (double) update[i];
        found->along += along;
        found->odd += odd * odd;
        found->ties += along * along;
        found->odd_rounding += odd * (double) rounding[i];
    }
}

// One row's weights of a tile: `product` becomes W', `update` stays.
static void merge(const float * old, float * product, const float * update, int n, uint16_t * bits,
                  struct found * found) {
    float target[TILE], rounding[TILE];
    uint16_t nearest[TILE];
    for (int i = 0; i < n; i++) product[i] += old[i];
    for (int i = 0; i < n; i++) target[i] = old[i] + update[i];
    ggml_cpu_fp32_to_fp16(product, (ggml_fp16_t *) bits, n);
    ggml_cpu_fp32_to_fp16(target, (ggml_fp16_t *) nearest, n);
    ggml_cpu_fp16_to_fp32((const ggml_fp16_t *) nearest, rounding, n);
    for (int i = 0; i < n; i++) rounding[i] -= target[i];
    uint16_t largest = 0;
    for (int i = 0; i < n; i++) {
        const uint16_t size = bits[i] & 0x7FFF;
        largest = size > largest ? size : largest;
    }
    if (largest > found->largest) found->largest = largest;
    floats square = {0}, lost = {0}, rounded = {0};
    for (int i = 0; i < n; i += LANES) {
        const floats u = *(const floats *) (update + i), r = *(const floats *) (rounding + i);
        square += u * u;
        lost += r * u;
        rounded += r * r;
    }
    found->square += sum(square);
    found->lost += sum(lost);
    found->rounding += sum(rounded);
    for (int i = 0; i < n; i += LOT)
        if (memcmp(bits + i, nearest + i, LOT * sizeof(uint16_t)))
            add_odd(bits + i, nearest + i, update + i, rounding + i, found);
}

GGML_BACKEND_API const char packager_compiled_from[];
const char packager_compiled_from[] = PACKAGER_COMPILED_FROM;

// `old` and `bits` are [rows, columns]; columns are a multiple of LOT. With other arguments it needs another name:
// merge_kernel.py may meet the library of an earlier version.
GGML_BACKEND_API void packager_merge_rows(const struct factors * f, int64_t rows, const float * old, uint16_t * bits,
                                          struct found * found);
void packager_merge_rows(const struct factors * f, int64_t rows, const float * old, uint16_t * bits,
                         struct found * found) {
    float product[ROWS * TILE], update[ROWS * TILE];
    memset(found, 0, sizeof *found);
    for (int64_t from = 0; from < f->columns; from += TILE) {
        const int n = (int) (f->columns - from < TILE ? f->columns - from : TILE);
        for (int64_t row = 0; row < rows; row += ROWS) {
            const int count = (int) (rows - row < ROWS ? rows - row : ROWS);
            const double * b[ROWS];
            const float * meant_b[ROWS];
            for (int r = 0; r < ROWS; r++) {
                const int64_t which = row + (r < count ? r : 0);  // what is computed twice is not used
                b[r] = f->b + which * f->rank;
                meant_b[r] = f->meant_b + which * f->meant_rank;
            }
            for (int i = 0; i < n; i += LANES) {
                products(b, f->a + (from + i) * f->rank, f->rank, product + i);
                updates(meant_b, f->meant_a + (from + i) * f->meant_rank, f->meant_rank, update + i);
            }
            for (int r = 0; r < count; r++) {
                const int64_t place = (row + r) * f->columns + from;
                merge(old + place, product + r * TILE, update + r * TILE, n, bits + place, found);
            }
        }
    }
}
