/* See json.h. Malformed text ends in NULL or in an early end, never beyond the closing zero. */
#include "json.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

enum { DEEPEST = 64 };

static const char *blank(const char *at) { return at + strspn(at, " \t\r\n"); }

static const char *after_text(const char *at) {
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1]) at++;
    return *at ? at + 1 : NULL;
}

static const char *after(const char *at, int depth) {
    at = blank(at);
    if (*at == '"') return after_text(at);
    if (*at != '{' && *at != '[') {
        size_t length = strcspn(at, ",]} \t\r\n");
        return length ? at + length : NULL;
    }
    char closing = *at == '{' ? '}' : ']';
    at = blank(at + 1);
    if (*at == closing) return at + 1;
    while (at && depth < DEEPEST) {
        if (closing == '}') {
            if (*at != '"' || !(at = after_text(at)) || *(at = blank(at)) != ':') return NULL;
            at++;
        }
        if (!(at = after(at, depth + 1))) return NULL;
        at = blank(at);
        if (*at == closing) return at + 1;
        if (*at != ',') return NULL;
        at = blank(at + 1);
    }
    return NULL;
}

const char *json_member(const char *object, const char *key) {
    if (!object || *(object = blank(object)) != '{') return NULL;
    const char *at = blank(object + 1);
    while (*at == '"') {
        const char *end = after_text(at);
        if (!end) return NULL;
        bool found = strlen(key) == (size_t)(end - at) - 2 && !strncmp(at + 1, key, strlen(key));
        at = blank(end);
        if (*at != ':') return NULL;
        at = blank(at + 1);
        if (found) return at;
        if (!(at = after(at, 0))) return NULL;
        at = blank(at);
        if (*at != ',') return NULL;
        at = blank(at + 1);
    }
    return NULL;
}

const char *json_item(const char *array, int index) {
    if (!array || *(array = blank(array)) != '[') return NULL;
    const char *at = blank(array + 1);
    if (*at == ']') return NULL;
    while (index-- > 0) {
        if (!(at = after(at, 0)) || *(at = blank(at)) != ',') return NULL;
        at = blank(at + 1);
    }
    return at;
}

static unsigned hexadecimal(const char *at) {
    char digits[5] = {0};
    strncpy(digits, at, 4);
    return (unsigned)strtoul(digits, NULL, 16);
}

static char *put_utf8(char *out, unsigned code) {
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 63));
        *out++ = (char)(0x80 | (code & 63));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 63));
        *out++ = (char)(0x80 | (code >> 6 & 63));
        *out++ = (char)(0x80 | (code & 63));
    }
    return out;
}

char *json_text(const char *value) {
    if (!value || *value != '"') return NULL;
    const char *end = after_text(value);
    char *text = end ? malloc((size_t)(end - value)) : NULL, *out = text;
    if (!text) return NULL;
    for (const char *at = value + 1; at < end - 1; at++) {
        if (*at != '\\') {
            *out++ = *at;
            continue;
        }
        static const char named[] = "bfnrt", meant[] = "\b\f\n\r\t";
        const char *name = strchr(named, *++at);
        if (*at == 'u' && end - at > 5) {
            unsigned code = hexadecimal(at + 1);
            at += 4;
            if (code >> 10 == 0x36 && end - at > 7 && at[1] == '\\' && at[2] == 'u') { /* a surrogate pair */
                code = 0x10000 + ((code & 0x3ff) << 10) + (hexadecimal(at + 3) & 0x3ff);
                at += 6;
            }
            out = put_utf8(out, code);
        } else {
            *out++ = name ? meant[name - named] : *at;
        }
    }
    *out = 0;
    return text;
}

char *json_raw(const char *value) {
    const char *end = value ? after(value, 0) : NULL;
    size_t length = end ? (size_t)(end - value) : 0;
    char *text = calloc(length + 1, 1);
    if (text && length) memcpy(text, value, length);
    return text;
}

double json_number(const char *value, double otherwise) {
    return value && (*value == '-' || (*value >= '0' && *value <= '9')) ? strtod(value, NULL) : otherwise;
}

char *read_whole(const char *path) {
    long long size = file_size(path);
    FILE *file = size < 0 || size > 64 << 20 ? NULL : open_file(path, "rb");
    char *text = file ? calloc((size_t)size + 1, 1) : NULL;
    if (text && fread(text, 1, (size_t)size, file) != (size_t)size) {
        free(text);
        text = NULL;
    }
    if (file) fclose(file);
    return text;
}
