/* SHA-256 (FIPS 180-4). */
#ifndef CLINIC_SHA256_H
#define CLINIC_SHA256_H

#include <stdbool.h>
#include <stddef.h>

/* `hex` gets 64 digits and a zero; `read` is told of every block of bytes. False: the file cannot be read, or
 * this program was interrupted before its end. */
bool sha256_of_file(const char *path, char hex[65], void (*read)(long long bytes, void *data), void *data);

void sha256_of_bytes(const unsigned char *bytes, size_t size, unsigned char out[32]);

#endif
