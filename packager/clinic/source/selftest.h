/* Ask the proof's questions again, on this machine. */
#ifndef CLINIC_SELFTEST_H
#define CLINIC_SELFTEST_H

#include "server.h"

/* Returns DONE or NOT_PROVEN; says every answer's verdict, the speed and the memory against the proof's. */
int run_selftest(const server *running, const char *proof);

#endif
