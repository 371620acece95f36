/* What the processor can do, asked before a program that needs it is started. */
#ifndef CLINIC_CPU_H
#define CLINIC_CPU_H

#include <stdbool.h>

/* Does this processor have a feature, by its name in /proc/cpuinfo? A name that is not known here is not there. */
bool cpu_has(const char *feature);

#endif
