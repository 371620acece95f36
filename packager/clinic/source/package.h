/* Is a package whole? */
#ifndef CLINIC_PACKAGE_H
#define CLINIC_PACKAGE_H

#include <stdbool.h>

#include "platform.h"

/* Compare a folder with its SHA256SUMS: `all` of it, or only what is started on this machine (the rest is left to the
 * self-test). Every fault is said; what lies outside runtime/ and is no program is said and ignored. */
bool package_is_whole(const char *folder, bool all);

/* Of a clinic's folder, what `packager package` made; `packager.package.verify.IN_BUNDLE`. */
#define PACKAGE "pacote/"

/* The model, or its first part, by its path in the folder; NULL without one. The caller frees it. */
char *model_in(const char *config);

bool path_of(char *out, const char *folder, const char *name);

#endif
