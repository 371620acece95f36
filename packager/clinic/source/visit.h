/* One connection of a browser: what it asks, and what is still to be sent to it. */
#ifndef CLINIC_VISIT_H
#define CLINIC_VISIT_H

#include <stdbool.h>
#include <stddef.h>

#include "request.h"

typedef struct {
    long client, server; /* -1: none */
    char *in, *out;      /* what was asked; what is still to be sent */
    size_t got, room, out_size, out_sent;
    request asked;
    size_t head;
    bool answering, asks; /* `asks`: it has the only place */
    bool whole, leaving;  /* all that it sends was read; all that it is told was sent, and what it still sends is not read */
    double since;
} visit;

void answer(visit *one, int status, const char *type, const char *body);
void answer_error(visit *one, int status, const char *type);

/* More of what it asks, kept. False: there is no memory for it. */
bool keep_bytes(visit *one, const char *bytes, size_t size);

bool is_sending(const visit *one);
bool send_on(visit *one); /* false: it takes nothing any more */

/* All is said: false, unless something that it still sends would, unread, make its system throw the answer away. */
bool lingers(visit *one);
void end_visit(visit *one);

#endif
