/* The head of an HTTP request, and whether this machine's page may have sent it. */
#ifndef CLINIC_REQUEST_H
#define CLINIC_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

enum { MOST_HEAD = 16384 };

typedef struct {
    char method[8], path[128], host[128], origin[160], site[32], type[64], key[64];
    long long length; /* of the body; -1: it is not said, or sent in pieces */
} request;

/* The head's length with its empty line; 0: it has not come to its end; -1: this is no request that we know. */
int read_request(const char *text, size_t size, request *out);

typedef struct {
    int port;
    bool everywhere; /* this machine's own addresses in the network may be asked too */
    const char *key;
} served;

/* 0: it may be answered. Else the HTTP status: 421 by another name than this machine's (a name that somebody made to lead
 * here), 403 from a page of another origin, 401 without the key, 415 in a form that any page can send unasked. */
int refusal(const request *asked, const served *by, bool needs_key);

#endif
