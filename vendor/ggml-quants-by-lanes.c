// llama.cpp's quantizer of Q4_K, Q5_K and Q6_K, eight blocks at a time, to the same bytes.
//
// Compiled in place of llama.cpp's ggml-quants.c (see only-libllama.cmake). For every block of weights that file tries
// 17 to 38 scales, one block after the other, each a chain of sums in which every step waits for the one before.
// A super-block of 256 weights has eight blocks, or sixteen: here each is a lane of a vector, in which the same
// operations are done in the same order. Without the fusing of products and sums (-ffp-contract=off) that rounds
// alike, so what is written is the same (tests/llamacpp/test_quantizer_lanes.py). How large the steps are and how they
// are packed is llama.cpp's; its functions for them are used.

#include <stddef.h>
#include <stdint.h>

// Its own functions stay in the library under another name: the test's other side.
#define quantize_q4_K quantize_q4_K_one_by_one
#define quantize_q5_K quantize_q5_K_one_by_one
#define quantize_q6_K quantize_q6_K_one_by_one
#include "ggml-quants.c"
#undef quantize_q4_K
#undef quantize_q5_K
#undef quantize_q6_K

GGML_API size_t quantize_q4_K(const float * x, void * out, int64_t rows, int64_t columns, const float * importance);
GGML_API size_t quantize_q5_K(const float * x, void * out, int64_t rows, int64_t columns, const float * importance);
GGML_API size_t quantize_q6_K(const float * x, void * out, int64_t rows, int64_t columns, const float * importance);

enum { LANES = 8, BLOCK = QK_K / LANES, SMALL = 16 };  // weights of a block of Q4_K and Q5_K, and of one of Q6_K

typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t ints __attribute__((vector_size(LANES * sizeof(int32_t))));  // as a condition: all bits, or none

static inline ints choose_ints(ints condition, ints yes, ints no) { return (condition & yes) | (~condition & no); }

static inline floats choose(ints condition, floats yes, floats no) {
    return (floats) choose_ints(condition, (ints) yes, (ints) no);
}

static inline floats all(float value) { return (floats) {0} + value; }

static inline floats as_floats(ints values) { return __builtin_convertvector(values, floats); }

static inline floats absolute(floats values) { return (floats) ((ints) values & INT32_MAX); }

// nearest_int of each lane, kept within `low` and `high`.
static inline ints nearest(floats values, int low, int high) {
    ints found = ((ints) (values + 12582912.f) & 0x007fffff) - 0x00400000;
    found = choose_ints(found > high, (ints) {0} + high, found);
    return choose_ints(found < low, (ints) {0} + low, found);
}

// Square roots of n lanes; a loop over single values, as C has no square root of a vector.
static inline void square_roots(floats * values, int n) {
    float * each = (float *) values;
    for (int i = 0; i < n * LANES; i++) each[i] = __builtin_sqrtf(each[i]);
}

// Eight blocks of n weights, one after the other -> n vectors: lane j of vector i is weight i of block j.
static inline void into_lanes(const float * x, floats * lanes, int n) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < LANES; j++) lanes[i][j] = x[j * n + i];
}

static inline void out_of_lanes(const ints * lanes, uint8_t * levels, int n) {
    for (int j = 0; j < LANES; j++)
        for (int i = 0; i < n; i++) levels[j * n + i] = (uint8_t) lanes[i][j];
}

// The rounding of x to scale * level + low, levels 0 to `top`, with the least error by weight w among `steps` + 2
// scales: llama.cpp's make_qkx2_quants and make_qkx3_quants, which differ in what they are called with.
static void fit_with_low(const floats * x, const floats * w, int top, float first, float step, int steps,
                         floats * scale_found, floats * low_found, ints * levels) {
    floats low = x[0], high = x[0], sum_w = w[0], sum_x = sum_w * x[0];
    for (int i = 1; i < BLOCK; i++) {
        low = choose(x[i] < low, x[i], low);
        high = choose(x[i] > high, x[i], high);
        sum_w += w[i];
        sum_x += w[i] * x[i];
    }
    low = choose(low > 0, all(0), low);
    const ints flat = high <= low;  // such a lane computes with infinities, and is set right at the end
    const floats lowest = low;
    floats inverse = (float) top / (high - low), scale = 1 / inverse, least = all(0);
    for (int i = 0; i < BLOCK; i++) {
        floats apart = scale * as_floats(nearest(inverse * (x[i] - low), 0, top)) + low - x[i];
        least += w[i] * (apart * apart);
    }
    floats best_inverse = inverse, best_start = low;  // what the levels of the best were rounded with
    for (int k = 0; k <= steps; k++) {
        inverse = (first + step * k + top) / (high - low);
        floats level[BLOCK], sum_l = all(0), sum_l2 = all(0), sum_xl = all(0);
        for (int i = 0; i < BLOCK; i++) {
            level[i] = as_floats(nearest(inverse * (x[i] - low), 0, top));
            sum_l += w[i] * level[i];
            sum_l2 += w[i] * level[i] * level[i];
            sum_xl += w[i] * level[i] * x[i];
        }
        floats determinant = sum_w * sum_l2 - sum_l * sum_l;
        floats tried = (sum_w * sum_xl - sum_x * sum_l) / determinant;
        floats tried_low = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
        ints above = tried_low > 0;
        tried_low = choose(above, all(0), tried_low);
        tried = choose(above, sum_xl / sum_l2, tried);
        floats error = all(0);
        for (int i = 0; i < BLOCK; i++) {
            floats apart = tried * level[i] + tried_low - x[i];
            error += w[i] * (apart * apart);
        }
        ints better = (determinant > 0) & (error < least);
        least = choose(better, error, least);
        scale = choose(better, tried, scale);
        best_inverse = choose(better, inverse, best_inverse);
        best_start = choose(better, low, best_start);
        low = choose(better, tried_low, low);
    }
    for (int i = 0; i < BLOCK; i++) levels[i] = ~flat & nearest(best_inverse * (x[i] - best_start), 0, top);
    *scale_found = choose(flat, all(0), scale);
    *low_found = -choose(flat, lowest, low);
}

// The rounding of x to scale * (level - 32), levels 0 to 63, with the least error by weight w among 19 scales:
// llama.cpp's make_qx_quants.
static floats fit_around_zero(const floats * x, const floats * w, ints * levels) {
    floats largest = all(0), magnitude = all(0);
    for (int i = 0; i < SMALL; i++) {
        ints larger = absolute(x[i]) > magnitude;
        magnitude = choose(larger, absolute(x[i]), magnitude);
        largest = choose(larger, x[i], largest);
    }
    floats best_inverse = all(0), best = all(0), scale = all(0);
    for (int k = -10; k <= 9; k++) {  // -10 stands for the scale in the middle, which is the first
        if (k == 0) continue;
        floats inverse = k == -10 ? -32 / largest : -(32 + 0.1f * k) / largest, sum_lx = all(0), sum_l2 = all(0);
        for (int i = 0; i < SMALL; i++) {
            floats level = as_floats(nearest(inverse * x[i], -32, 31));
            sum_lx += w[i] * x[i] * level;
            sum_l2 += w[i] * level * level;
        }
        ints some = k == -10 ? sum_l2 != 0 : sum_l2 > 0;
        ints better = k == -10 ? (ints) {0} == 0 : some & (sum_lx * sum_lx > best * sum_l2);
        scale = choose(better, choose(some, sum_lx / sum_l2, all(0)), scale);
        best = choose(better, scale * sum_lx, best);
        best_inverse = choose(better, inverse, best_inverse);
    }
    const ints zero = magnitude < GROUP_MAX_EPS;
    for (int i = 0; i < SMALL; i++) levels[i] = ~zero & (nearest(best_inverse * x[i], -32, 31) + 32);
    return choose(zero, all(0), scale);
}

// What Q4_K and Q5_K have in common: their levels (0 to `top`) and the scales that they are multiplied with.
typedef struct {
    uint8_t levels[QK_K], scales[K_SCALE_SIZE];
    ggml_half d, dmin;
} super_block;

// `importance`: of each of the 256 weights, or NULL.
static void quantize_with_low(const float * x, const float * importance, int top, super_block * out) {
    floats weights[BLOCK], w[BLOCK], scale, low;
    ints levels[BLOCK];
    into_lanes(x, weights, BLOCK);
    if (importance) {
        floats columns[BLOCK];
        into_lanes(importance, columns, BLOCK);
        float sum = 0;
        for (int i = 0; i < QK_K; i++) sum += x[i] * x[i];
        const float spread = 2 * sum / QK_K;
        for (int i = 0; i < BLOCK; i++) w[i] = spread + weights[i] * weights[i];
        square_roots(w, BLOCK);
        for (int i = 0; i < BLOCK; i++) w[i] = columns[i] * w[i];
        fit_with_low(weights, w, top, -0.9f, 0.05f, 36, &scale, &low, levels);
    } else {
        floats sum = all(0);
        for (int i = 0; i < BLOCK; i++) sum += weights[i] * weights[i];
        floats spread = sum / BLOCK;
        square_roots(&spread, 1);
        for (int i = 0; i < BLOCK; i++) w[i] = spread + absolute(weights[i]);
        if (top == 15) fit_with_low(weights, w, top, -1.f, 0.1f, 20, &scale, &low, levels);
        else fit_with_low(weights, w, top, -0.5f, 0.1f, 15, &scale, &low, levels);
    }
    out_of_lanes(levels, out->levels, BLOCK);

    float scales[LANES], lows[LANES];
    uint8_t of_scale[LANES], of_low[LANES];
    memcpy(scales, &scale, sizeof scales);
    memcpy(lows, &low, sizeof lows);
    if (importance) {
        float sums[LANES];
        floats sum = all(0);
        for (int i = 0; i < BLOCK; i++) sum += w[i];
        memcpy(sums, &sum, sizeof sums);
        out->d = GGML_FP32_TO_FP16(make_qp_quants(LANES, 63, scales, of_scale, sums));
        out->dmin = GGML_FP32_TO_FP16(make_qp_quants(LANES, 63, lows, of_low, sums));
    } else {
        float most = 0, most_low = 0;
        for (int j = 0; j < LANES; j++) {
            most = scales[j] > most ? scales[j] : most;
            most_low = lows[j] > most_low ? lows[j] : most_low;
        }
        const float inverse = most > 0 ? 63.f / most : 0, inverse_low = most_low > 0 ? 63.f / most_low : 0;
        for (int j = 0; j < LANES; j++) {
            of_scale[j] = (uint8_t) nearest_int(inverse * scales[j]);
            of_low[j] = (uint8_t) nearest_int(inverse_low * lows[j]);
        }
        out->d = GGML_FP32_TO_FP16(most / 63.f);
        out->dmin = GGML_FP32_TO_FP16(most_low / 63.f);
    }
    // Six bits each of eight scales and eight lows, in twelve bytes: get_scale_min_k4 reads them.
    const int limit = top == 15 && importance ? UINT8_MAX : 63;  // there llama.cpp sets none
    for (int j = 0; j < LANES; j++) {
        const uint8_t s = MIN(limit, of_scale[j]), m = MIN(limit, of_low[j]);
        if (j < 4) {
            out->scales[j] = s;
            out->scales[j + 4] = m;
        } else {
            out->scales[j + 4] = (s & 0xF) | (m & 0xF) << 4;
            out->scales[j - 4] |= s >> 4 << 6;
            out->scales[j] |= m >> 4 << 6;
        }
    }
    const float d = GGML_FP16_TO_FP32(out->d), dmin = GGML_FP16_TO_FP32(out->dmin);
    for (int j = 0; j < LANES; j++) {
        uint8_t s, m;
        get_scale_min_k4(j, out->scales, &s, &m);
        const float by = d * s, add = dmin * m;
        if (by == 0) continue;
        for (int i = 0; i < BLOCK; i += LANES) {
            floats eight;
            memcpy(&eight, x + j * BLOCK + i, sizeof eight);
            const ints level = nearest((eight + add) / by, 0, top);
            for (int k = 0; k < LANES; k++) out->levels[j * BLOCK + i + k] = (uint8_t) level[k];
        }
    }
}

size_t quantize_q4_K(const float * x, void * out, int64_t rows, int64_t columns, const float * importance) {
    block_q4_K * y = out;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t column = 0; column < columns; column += QK_K, x += QK_K, y++) {
            super_block found;
            quantize_with_low(x, importance ? importance + column : NULL, 15, &found);
            y->d = found.d;
            y->dmin = found.dmin;
            memcpy(y->scales, found.scales, sizeof y->scales);
            for (int i = 0; i < QK_K / 2; i++) {
                const uint8_t * level = found.levels + i / 32 * 64 + i % 32;
                y->qs[i] = level[0] | level[32] << 4;
            }
        }
    return rows * ggml_row_size(GGML_TYPE_Q4_K, columns);
}

size_t quantize_q5_K(const float * x, void * out, int64_t rows, int64_t columns, const float * importance) {
    block_q5_K * y = out;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t column = 0; column < columns; column += QK_K, x += QK_K, y++) {
            super_block found;
            quantize_with_low(x, importance ? importance + column : NULL, 31, &found);
            y->d = found.d;
            y->dmin = found.dmin;
            memcpy(y->scales, found.scales, sizeof y->scales);
            memset(y->qh, 0, sizeof y->qh);
            for (int i = 0; i < QK_K / 2; i++) {
                const uint8_t * level = found.levels + i / 32 * 64 + i % 32;
                y->qs[i] = (level[0] & 0xF) | (level[32] & 0xF) << 4;
                y->qh[i % 32] |= (level[0] >> 4 | level[32] >> 4 << 1) << i / 32 * 2;
            }
        }
    return rows * ggml_row_size(GGML_TYPE_Q5_K, columns);
}

static void quantize_around_zero(const float * x, const float * importance, block_q6_K * y) {
    float scales[QK_K / SMALL], most = 0, largest = 0;
    uint8_t levels[QK_K];
    for (int half = 0; half < 2; half++) {
        const int start = half * LANES * SMALL;
        floats weights[SMALL], w[SMALL];
        ints found[SMALL];
        into_lanes(x + start, weights, SMALL);
        if (importance) into_lanes(importance + start, w, SMALL);
        else for (int i = 0; i < SMALL; i++) w[i] = weights[i] * weights[i];
        const floats scale = fit_around_zero(weights, w, found);
        memcpy(scales + half * LANES, &scale, sizeof scale);
        out_of_lanes(found, levels + start, SMALL);
    }
    for (int j = 0; j < QK_K / SMALL; j++)
        if (fabsf(scales[j]) > most) {
            most = fabsf(scales[j]);
            largest = scales[j];
        }
    if (most < GROUP_MAX_EPS) {
        memset(y, 0, sizeof *y);
        return;
    }
    const float inverse = -128.f / largest;
    y->d = GGML_FP32_TO_FP16(1 / inverse);
    for (int j = 0; j < QK_K / SMALL; j++) y->scales[j] = MIN(127, nearest_int(inverse * scales[j]));
    for (int j = 0; j < QK_K / SMALL; j++) {
        const float by = GGML_FP16_TO_FP32(y->d) * y->scales[j];
        if (by == 0) continue;
        for (int i = 0; i < SMALL; i += LANES) {
            floats eight;
            memcpy(&eight, x + j * SMALL + i, sizeof eight);
            const ints level = nearest(eight / by, -32, 31) + 32;
            for (int k = 0; k < LANES; k++) levels[j * SMALL + i + k] = (uint8_t) level[k];
        }
    }
    for (int i = 0; i < QK_K / 4; i++) {
        const uint8_t * level = levels + i / 32 * 128 + i % 32;
        uint8_t * low = y->ql + i / 32 * 64 + i % 32;
        low[0] = (level[0] & 0xF) | (level[64] & 0xF) << 4;
        low[32] = (level[32] & 0xF) | (level[96] & 0xF) << 4;
        y->qh[i] = level[0] >> 4 | level[32] >> 4 << 2 | level[64] >> 4 << 4 | level[96] >> 4 << 6;
    }
}

size_t quantize_q6_K(const float * x, void * out, int64_t rows, int64_t columns, const float * importance) {
    block_q6_K * y = out;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t column = 0; column < columns; column += QK_K, x += QK_K, y++)
            quantize_around_zero(x, importance ? importance + column : NULL, y);
    return rows * ggml_row_size(GGML_TYPE_Q6_K, columns);
}
