/* Public keys as OpenSSH writes them, "ssh-ed25519 AAAA… comment", and the numbers by which people compare them. */
#ifndef CLINIC_KEY_H
#define CLINIC_KEY_H

#include <stdbool.h>
#include <stddef.h>

enum { KEY_TEXT = 256, KEY_NUMBERS = 48, KEY_BYTES = 128 };

/* "ssh-ed25519 AAAA…" without the comment, out of a line or file; false: it is no ed25519 key. */
bool key_of_text(const char *text, char out[KEY_TEXT]);

/* Six groups of five digits out of the key's SHA-256 (99 bits), as `packager` prints them too. */
bool key_numbers(const char *key, char out[KEY_NUMBERS]);

/* The same for the key that a signature states of itself; false: it is no signature. */
bool numbers_of_signature(const char *path, char out[KEY_NUMBERS]);

#endif
