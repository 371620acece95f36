/* What the processor can do, by the names of /proc/cpuinfo. x86-64: CPUID and XGETBV (Intel SDM, volume 2A). ARM: what
 * Linux says in the auxiliary vector. A name that is not known here is a feature that is not there. */
#include "cpu.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

typedef struct {
    const char *name;
    int leaf, reg, bit; /* reg: 1 EBX, 2 ECX */
    unsigned registers; /* which the operating system must keep: 0; 6 (256 bits) */
} feature;

static const feature FEATURES[] = {
    {"sse4_2", 1, 2, 20, 0}, {"avx", 1, 2, 28, 6}, {"fma", 1, 2, 12, 6},
    {"f16c", 1, 2, 29, 6},   {"avx2", 7, 1, 5, 6}, {"bmi2", 7, 1, 8, 0},
};

static bool keeps(unsigned registers) {
    unsigned a, b, c, d, low, high;
    if (!registers) return true;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return false;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & registers) == registers;
}

bool cpu_has(const char *name) {
    for (size_t i = 0; i < sizeof FEATURES / sizeof *FEATURES; i++) {
        const feature *one = &FEATURES[i];
        unsigned a, b = 0, c = 0, d;
        if (strcmp(one->name, name)) continue;
        if (!__get_cpuid_count((unsigned)one->leaf, 0, &a, &b, &c, &d)) return false;
        return ((one->reg == 1 ? b : c) >> one->bit & 1) && keeps(one->registers);
    }
    return false;
}
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

/* Linux, arch/arm64/include/uapi/asm/hwcap.h. */
static const unsigned long ASIMD = 1UL << 1, ASIMDDP = 1UL << 20, I8MM_IN_2 = 1UL << 13;

bool cpu_has(const char *name) {
    if (!strcmp(name, "asimd")) return getauxval(AT_HWCAP) & ASIMD;
    if (!strcmp(name, "asimddp")) return getauxval(AT_HWCAP) & ASIMDDP;
    if (!strcmp(name, "i8mm")) return getauxval(AT_HWCAP2) & I8MM_IN_2;
    return false;
}
#else
bool cpu_has(const char *name) {
    (void)name;
    return false;
}
#endif
