#ifndef CLINIC_NETWORK_H
#define CLINIC_NETWORK_H

#include <stdbool.h>

/* The network, 127.0.0.1 only except for each_address and listening `everywhere`. Sockets that listen or were
 * accepted do not block: `receive_bytes` and `send_bytes` then give -1, and `would_block` says why. */
typedef struct {
    long socket;
    bool want_read, want_write, can_read, can_write;
} waiting;

void start_network(void);
int unused_port(void);
long listen_on(int port, bool everywhere); /* -1: another program has it; nobody else can have it meanwhile */
long accept_from(long listener);
void wait_for_sockets(waiting *all, int count, int milliseconds);
bool would_block(void);
void do_not_block(long socket);
long connect_local(int port, int timeout_seconds); /* -1: nobody listens */
long send_bytes(long socket, const char *data, long size);
long receive_bytes(long socket, char *data, long size);
void end_sending(long socket); /* the other side may send on */
void close_socket(long socket);
void each_address(void (*seen)(const char *address, void *data), void *data); /* how other machines reach this one */

#endif
