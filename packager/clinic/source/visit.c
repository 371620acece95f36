/* See visit.h. */
#include "visit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "platform.h"

void end_visit(visit *one) {
    if (one->server >= 0) close_socket(one->server); /* llama-server then stops computing */
    if (one->client >= 0) close_socket(one->client);
    free(one->in);
    free(one->out);
    *one = (visit){.client = -1, .server = -1};
}

void answer(visit *one, int status, const char *type, const char *body) {
    static const char head[] = "HTTP/1.1 %d x\r\nContent-Type: %s; charset=utf-8\r\nContent-Length: %lu\r\nConnection: close\r\n"
                               "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n"
                               "Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\r\n%s";
    size_t room = sizeof head + strlen(type) + strlen(body) + 32;
    free(one->out);
    one->out = malloc(room);
    one->answering = true;
    one->out_sent = 0;
    one->out_size = one->out ? (size_t)snprintf(one->out, room, head, status, type, (unsigned long)strlen(body), body) : 0;
}

void answer_error(visit *one, int status, const char *type) {
    char body[128];
    snprintf(body, sizeof body, "{\"error\":{\"code\":%d,\"type\":\"%s\"}}", status, type);
    answer(one, status, "application/json", body);
}

bool keep_bytes(visit *one, const char *bytes, size_t size) {
    if (one->got + size > one->room) {
        char *larger = realloc(one->in, one->got + size);
        if (!larger) return false;
        one->in = larger, one->room = one->got + size;
    }
    memcpy(one->in + one->got, bytes, size);
    one->got += size;
    return true;
}

bool send_on(visit *one) {
    long sent = send_bytes(one->client, one->out + one->out_sent, (long)(one->out_size - one->out_sent));
    if (sent < 0) return would_block();
    one->out_sent += (size_t)sent;
    one->since = seconds_now();
    return true;
}

bool is_sending(const visit *one) { return one->out_sent < one->out_size; }

bool lingers(visit *one) {
    if (one->whole) return false;
    if (!one->leaving) end_sending(one->client);
    one->leaving = true;
    return true;
}
