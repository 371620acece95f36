/* Is a package whole? And which one of those that lie side by side is the newest whole one? */
#ifndef CLINIC_PACKAGE_H
#define CLINIC_PACKAGE_H

#include <stdbool.h>

#include "platform.h"

/* Compare a folder with its SHA256SUMS and, where that can be done, its signature; every fault is said.
 * `key` is the file of the public key, or NULL. */
bool package_is_whole(const char *folder, const char *key);

/* The newest version of the package in `folder`, among the folders beside it, that is whole: into `chosen`.
 * Newer ones that are not whole are said and left out. False: none is whole. */
bool newest_whole(const char *folder, const char *key, char *chosen);

#endif
