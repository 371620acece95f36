/* SHA-256 after FIPS 180-4, section 6.2, in plain C: it must run on processors that the server refuses. */
#include "sha256.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

enum { BLOCK = 64, CHUNK = 1 << 20 };

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t value, int by) { return value >> by | value << (32 - by); }

static void add_block(uint32_t state[8], const unsigned char *block) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8
               | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t high = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
        uint32_t one = s[7] + high + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i];
        uint32_t low = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        uint32_t two = low + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + one, s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = one + two;
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

void sha256_of_bytes(const unsigned char *bytes, size_t size, unsigned char out[32]) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    unsigned char last[2 * BLOCK] = {0};
    size_t whole = size / BLOCK * BLOCK, left = size - whole, end = left + 9 > BLOCK ? 2 * BLOCK : BLOCK;
    for (size_t at = 0; at < whole; at += BLOCK) add_block(state, bytes + at);
    memcpy(last, bytes + whole, left);
    last[left] = 0x80;
    for (int i = 0; i < 8; i++) last[end - 1 - (size_t)i] = (unsigned char)((uint64_t)size * 8 >> 8 * i);
    for (size_t at = 0; at < end; at += BLOCK) add_block(state, last + at);
    for (int i = 0; i < 32; i++) out[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
}

bool sha256_of_file(const char *path, char hex[65], void (*read)(long long bytes, void *data), void *data) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    FILE *file = open_file(path, "rb");
    unsigned char *bytes = malloc(CHUNK + 2 * BLOCK);
    bool fine = file && bytes;
    uint64_t total = 0;
    size_t got = CHUNK;
    if (file) setvbuf(file, NULL, _IONBF, 0);
    while (fine && got == CHUNK && !was_interrupted()) {
        got = fread(bytes, 1, CHUNK, file);
        total += got;
        size_t end = got;
        if (got < CHUNK) { /* the last one: a one bit, zeros, and the length in bits */
            end = (got + 9 + BLOCK - 1) / BLOCK * BLOCK;
            memset(bytes + got, 0, end - got);
            bytes[got] = 0x80;
            for (int i = 0; i < 8; i++) bytes[end - 1 - (size_t)i] = (unsigned char)(total * 8 >> 8 * i);
        }
        for (size_t at = 0; at < end; at += BLOCK) add_block(state, bytes + at);
        if (read) read((long long)got, data);
    }
    fine = fine && !ferror(file) && got < CHUNK;
    for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", (unsigned)state[i]);
    if (file) fclose(file);
    free(bytes);
    return fine;
}
