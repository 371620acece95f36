/* See request.h. Strict on purpose: what a browser of the last ten years does not send is not read. */
#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"

static bool same_letters(const char *a, const char *b, size_t size) {
    for (size_t i = 0; i < size; i++) {
        char x = a[i] >= 'A' && a[i] <= 'Z' ? (char)(a[i] + 32) : a[i];
        if (x != b[i]) return false;
    }
    return true;
}

/* A header's value into `out`; one that was there already, or is too long, spoils the request. */
static bool take(const char *from, const char *end, char *out, size_t room) {
    while (from < end && (*from == ' ' || *from == '\t')) from++;
    while (end > from && (end[-1] == ' ' || end[-1] == '\t')) end--;
    if (*out || (size_t)(end - from) >= room) return false;
    memcpy(out, from, (size_t)(end - from));
    return true;
}

static bool read_header(const char *line, const char *end, request *out, char *length) {
    const struct {
        const char *name;
        char *into;
        size_t room;
    } known[] = {
        {"host", out->host, sizeof out->host},       {"origin", out->origin, sizeof out->origin},
        {"x-chave", out->key, sizeof out->key},      {"sec-fetch-site", out->site, sizeof out->site},
        {"content-type", out->type, sizeof out->type}, {"content-length", length, 16},
    };
    const char *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon) return false;
    size_t size = (size_t)(colon - line);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == size && same_letters(line, known[i].name, size))
            return take(colon + 1, end, known[i].into, known[i].room);
    return !(size == 17 && same_letters(line, "transfer-encoding", size)); /* a body in pieces: no browser sends it */
}

int read_request(const char *text, size_t size, request *out) {
    char head[MOST_HEAD + 1], length[16] = "";
    size_t kept = size < MOST_HEAD ? size : MOST_HEAD;
    memcpy(head, text, kept);
    head[kept] = 0;
    char *end = strstr(head, "\r\n\r\n");
    if (!end) return kept < MOST_HEAD && strlen(head) == kept ? 0 : -1; /* too long, or a zero in it */
    *out = (request){0};
    char *line = head, *stop = strstr(line, "\r\n"), version[4];
    *stop = 0;
    if (sscanf(line, "%7[A-Z] %127[^ ] HTTP/1.%1[01]", out->method, out->path, version) != 3) return -1;
    for (line = stop + 2; line < end + 2 && (stop = strstr(line, "\r\n")) && stop > line; line = stop + 2)
        if (!read_header(line, stop, out, length)) return -1;
    out->length = *length && strspn(length, "0123456789") == strlen(length) && strlen(length) < 10 ? atoll(length) : -1;
    out->path[strcspn(out->path, "?")] = 0;
    return (int)(end + 4 - head);
}

typedef struct {
    const char *host;
    int port;
    bool found;
} wanted_host;

static void compare_host(const char *address, void *data) {
    wanted_host *wanted = data;
    char name[160];
    snprintf(name, sizeof name, "%s:%d", address, wanted->port);
    wanted->found = wanted->found || !strcmp(name, wanted->host);
}

static bool is_this_machine(const char *host, const served *by) {
    wanted_host wanted = {host, by->port, false};
    compare_host("127.0.0.1", &wanted);
    compare_host("localhost", &wanted);
    if (by->everywhere && !wanted.found) each_address(compare_host, &wanted);
    return wanted.found;
}

/* In the same time wherever they differ. */
static bool same_key(const char *a, const char *b) {
    size_t size = strlen(b);
    if (strlen(a) != size) return false;
    unsigned differs = 0;
    for (size_t i = 0; i < size; i++) differs |= (unsigned char)(a[i] ^ b[i]);
    return !differs;
}

int refusal(const request *asked, const served *by, bool needs_key) {
    char own[160];
    if (!is_this_machine(asked->host, by)) return 421;
    snprintf(own, sizeof own, "http://%s", asked->host);
    if (*asked->origin && strcmp(asked->origin, own)) return 403;
    bool linked = *asked->site && strcmp(asked->site, "same-origin") && strcmp(asked->site, "none");
    if (linked && strcmp(asked->path, "/")) return 403; /* but a link to the page may lie anywhere */
    if (!needs_key) return 0;
    if (!same_key(asked->key, by->key)) return 401;
    return !strcmp(asked->method, "POST") && strncmp(asked->type, "application/json", 16) ? 415 : 0;
}
