/* What this machine can run of a package, and whether it has the memory and the disk for it. */
#ifndef CLINIC_MACHINE_H
#define CLINIC_MACHINE_H

#include <stdbool.h>

/* The machine against what the package needs, with a `model` that answers or without; everything that is wrong is said. */
bool machine_suffices(const char *folder, const char *config, bool model);

/* The file of the server to start: the first in the package for this kind of machine whose instructions this processor
 * has all of (the fastest come first). NULL: there is none. The caller frees it. */
char *chosen_server(const char *config);

/* The server's program, from the package or, where the stick may not run programs, from a copy of it in `temporary`. */
bool find_program(const char *folder, const char *config, const char *temporary, char *program);

#endif
