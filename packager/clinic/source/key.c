/* See key.h. A key's bytes are strings after their length (RFC 4253, section 6.6); a signature holds the key's after
 * its magic and version (OpenSSH's PROTOCOL.sshsig). */
#include "key.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "platform.h"
#include "sha256.h"

static const char KIND[] = "ssh-ed25519";

/* Base64 up to the first character that is none; line ends are left out. How many bytes. */
static size_t decode(const char *text, unsigned char *out, size_t room) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, held = 0;
    size_t size = 0;
    for (; *text && size < room; text++) {
        const char *letter = strchr(letters, *text);
        if (*text == '\r' || *text == '\n') continue;
        if (!letter) break;
        bits = bits << 6 | (unsigned)(letter - letters);
        held += 6;
        if (held < 8) continue;
        held -= 8;
        out[size++] = (unsigned char)(bits >> held);
    }
    return size;
}

static void numbers(const unsigned char *blob, size_t size, char out[KEY_NUMBERS]) {
    unsigned char hash[32];
    sha256_of_bytes(blob, size, hash);
    for (int group = 0; group < 6; group++) {
        unsigned long long value = 0;
        for (int i = 0; i < 5; i++) value = value << 8 | hash[5 * group + i];
        snprintf(out + 6 * group, 7, "%05llu%s", value % 100000, group < 5 ? " " : "");
    }
}

bool key_of_text(const char *text, char out[KEY_TEXT]) {
    char kind[32], digits[160];
    unsigned char bytes[KEY_BYTES];
    if (!text || sscanf(text, "%31s %159s", kind, digits) != 2 || strcmp(kind, KIND)) return false;
    /* The kind and 32 bytes, each after four bytes of length. */
    if (decode(digits, bytes, sizeof bytes) != 4 + sizeof KIND - 1 + 4 + 32) return false;
    return snprintf(out, KEY_TEXT, "%s %s", kind, digits) < KEY_TEXT;
}

bool key_numbers(const char *key, char out[KEY_NUMBERS]) {
    char text[KEY_TEXT];
    unsigned char bytes[KEY_BYTES];
    if (!key_of_text(key, text)) return false;
    numbers(bytes, decode(text + sizeof KIND, bytes, sizeof bytes), out);
    return true;
}

bool numbers_of_signature(const char *path, char out[KEY_NUMBERS]) {
    unsigned char bytes[512];
    char *text = read_whole(path), *at = text ? strstr(text, "SIGNATURE-----") : NULL;
    size_t size = at ? decode(at + strlen("SIGNATURE-----"), bytes, sizeof bytes) : 0;
    size_t length = size > 14 ? (size_t)bytes[12] << 8 | bytes[13] : 0;
    bool fine = length && !memcmp(bytes, "SSHSIG", 6) && 14 + length <= size;
    if (fine) numbers(bytes + 14, length, out);
    free(text);
    return fine;
}
