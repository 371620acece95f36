/* The signature over SHA256SUMS, where the package has one and this machine has a key and a tool for it. */
#ifndef CLINIC_SIGNATURE_H
#define CLINIC_SIGNATURE_H

#include <stdbool.h>

/* False only if the signature, or its absence, contradicts the key. Says what could not be checked, and why. */
bool signature_is_good(const char *folder, const char *key);

#endif
