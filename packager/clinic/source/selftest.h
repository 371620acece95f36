/* Ask the proof's questions again, on this machine. */
#ifndef CLINIC_SELFTEST_H
#define CLINIC_SELFTEST_H

#include "server.h"

/* The searches that prova.json recorded, again, over the approved material of `folder`. Returns an exit code of say.h. */
int test_material(const char *folder, const char *config, const char *proof);

/* Returns DONE or NOT_PROVEN; says every answer's verdict, the speed and the memory against the proof's. */
int run_selftest(const server *running, const char *proof);

#endif
