#include "tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

/* ------------------------------ tokens ------------------------------ */
static const char DIGITS[] = "0123456789";

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* What joins two digits into one figure: a point, a comma or a slash, of which Unicode has two. Its bytes, or 0. */
static int joint_at(const char *at, const char *end, char *sign) {
    static const char *const slashes[] = {"\xe2\x81\x84", "\xe2\x88\x95"};
    int bytes = *at == '.' || *at == ',' || *at == '/';
    *sign = *at;
    for (size_t i = 0; i < sizeof slashes / sizeof *slashes; i++)
        if (end - at > 3 && !memcmp(at, slashes[i], 3)) bytes = 3, *sign = '/';
    return bytes && at + bytes < end && is_digit(at[bytes]) ? bytes : 0;
}

/* A figure with its points, commas and slashes; returns its bytes. */
static long take_figure(const char *at, const char *end, token *out) {
    const char *begin = at;
    int room = TOKEN_MAX - 1, used = 0, bytes;
    for (; at < end; at += bytes) {
        char sign = *at;
        bytes = is_digit(*at) ? 1 : joint_at(at, end, &sign);
        if (!bytes) break;
        if (used < room) out->text[used++] = sign;
    }
    out->text[used] = 0;
    out->is_number = 1;
    return at - begin;
}

/* One half and the like, which are signs of their own. */
static const char *fraction_at(const char *at, int *bytes) {
    static const char *const signs[][2] = {
        {"\xc2\xbd", "1/2"}, {"\xc2\xbc", "1/4"}, {"\xc2\xbe", "3/4"}, {"\u2153", "1/3"}, {"\u2154", "2/3"},
        {"\u2155", "1/5"}, {"\u2156", "2/5"}, {"\u2157", "3/5"}, {"\u2158", "4/5"}, {"\u2159", "1/6"}, {"\u215a", "5/6"},
        {"\u215b", "1/8"}, {"\u215c", "3/8"}, {"\u215d", "5/8"}, {"\u215e", "7/8"},
    };
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        *bytes = (int)strlen(signs[i][0]);
        if (!strncmp(at, signs[i][0], (size_t)*bytes)) return signs[i][1];
    }
    return NULL;
}

/* The sign of a millionth, of which Unicode has two; at the beginning of a word it is written mc. */
static int is_micro(const char *at) { return !strncmp(at, "\xc2\xb5", 2) || !strncmp(at, "\xce\xbc", 2); }

static long take_word(const char *at, const char *end, token *out) {
    char sign[4];
    int used = 0, bytes, added, other;
    const char *begin = at;
    for (; at < end && !is_digit(*at) && !fraction_at(at, &other); at += bytes) {
        added = fold(at, sign, &bytes);
        if (!used && is_micro(at)) added = 2, memcpy(sign, "mc", 2);
        if (added < 0) break;
        if (used + added < TOKEN_MAX) memcpy(out->text + used, sign, (size_t)added), used += added;
    }
    return at - begin;
}

int take_token(const char *at, const char *end, token *out, long *taken) {
    int bytes;
    char sign[4];
    const char *fraction = fraction_at(at, &bytes);
    *out = (token){0};
    if (is_digit(*at)) return (int)(*taken = take_figure(at, end, out));
    if (*at == '%' || fraction || !strncmp(at, "\xc2\xb0", 2)) {
        *taken = fraction ? bytes : *at == '%' ? 1 : 2;
        snprintf(out->text, sizeof out->text, "%.*s", fraction ? TOKEN_MAX - 1 : (int)*taken, fraction ? fraction : at);
        out->is_number = fraction != NULL;
        return 1;
    }
    if ((*taken = take_word(at, end, out))) return *out->text != 0;
    fold(at, sign, &bytes);
    *taken = bytes;
    return 0;
}

/* ------------------------------ figures ------------------------------ */
/* Up to `end`: one to three digits, not beginning with a zero, then groups of `sign` and three. */
static int has_groups(const char *figure, const char *end, char sign) {
    size_t digits = strspn(figure, DIGITS);
    if (!digits || digits > 3 || *figure == '0') return 0;
    const char *at = figure + digits;
    while (at < end && *at == sign && strspn(at + 1, DIGITS) == 3) at += 4;
    return at == end;
}

double value_of_figure(const char *figure) {
    static const struct { const char *text; double value; } parts[] = {{"1/2", .5}, {"1/4", .25}, {"3/4", .75}};
    char plain[TOKEN_MAX];
    int used = 0;
    const char *comma = strchr(figure, ','), *end = figure + strlen(figure), *whole = comma ? comma : end;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strcmp(figure, parts[i].text)) return parts[i].value;
    size_t digits = strspn(figure, DIGITS), signs = 0;
    for (const char *c = figure; *c; c++) signs += !is_digit(*c);
    int grouped = signs && has_groups(figure, whole, '.') && (!comma || comma + 1 + strspn(comma + 1, DIGITS) == end);
    int english = has_groups(figure, end, ',') && comma;
    if (strchr(figure, '/') || (signs == 1 && english) || (signs > 1 && !grouped && !english)) return -1;
    for (const char *c = figure; *c; c++) {
        if (is_digit(*c)) plain[used++] = *c;
        else if (c == figure + digits && signs == 1 && (*c == ',' || !grouped)) plain[used++] = '.';
        else if (*c == ',' && !english) plain[used++] = '.';
    }
    plain[used] = 0;
    return strtod(plain, NULL);
}
