/* Which of the packages that lie side by side is started? */
#ifndef CLINIC_VERSIONS_H
#define CLINIC_VERSIONS_H

#include <stdbool.h>

/* The newest version of the package in `folder`, among the folders beside it, that may be started and is whole: into
 * `chosen`. A package that is signed, or a `key` (NULL: none given), lets only those in that the same key signed.
 * Every one that is left out is said, and why. False: none is left. */
bool choose_package(const char *folder, const char *key, bool all, char *chosen);

#endif
