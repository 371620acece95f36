/* The signature over SHA256SUMS, and so over every file of a package. */
#ifndef CLINIC_SIGNATURE_H
#define CLINIC_SIGNATURE_H

#include <stdbool.h>

typedef enum {
    SIGNED_BY_KEY,
    NOT_SIGNED,
    SIGNED_OTHERWISE, /* by another key */
    SIGNATURE_WRONG,  /* by this key, but not over these bytes; or damaged */
    NOT_CHECKABLE,    /* this machine has no ssh-keygen */
} signature;

/* `key`: a line as key.h reads it. */
signature signature_of(const char *folder, const char *key);

bool has_signature(const char *folder);

/* The key that a package states in its configuration, into `key` (KEY_TEXT); false: none, it is not signed. */
bool stated_key(const char *folder, char *key);

/* Does it state that it was signed? Its checksums cover the word: nobody takes a signature away unseen. */
bool states_signed(const char *folder);

#endif
