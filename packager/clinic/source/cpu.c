/* The features of x86-64 by CPUID (Intel SDM, volume 2A); every 64-bit ARM has what the server needs. */
#include "cpu.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

typedef struct {
    const char *name;
    int leaf, reg, bit; /* reg: 1 EBX, 2 ECX */
    bool vector;        /* needs the operating system to keep the wide registers */
} feature;

static const feature FEATURES[] = {
    {"sse4_2", 1, 2, 20, false}, {"avx", 1, 2, 28, true}, {"fma", 1, 2, 12, true},
    {"f16c", 1, 2, 29, true},    {"avx2", 7, 1, 5, true}, {"bmi2", 7, 1, 8, false},
};

static bool keeps_wide_registers(void) {
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return false;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 6) == 6;
}

bool cpu_has(const char *name) {
    for (size_t i = 0; i < sizeof FEATURES / sizeof *FEATURES; i++) {
        const feature *one = &FEATURES[i];
        unsigned a, b = 0, c = 0, d;
        if (strcmp(one->name, name)) continue;
        if (!__get_cpuid_count((unsigned)one->leaf, 0, &a, &b, &c, &d)) return false;
        return ((one->reg == 1 ? b : c) >> one->bit & 1) && (!one->vector || keeps_wide_registers());
    }
    return true;
}
#else
bool cpu_has(const char *name) {
    (void)name;
    return true;
}
#endif
