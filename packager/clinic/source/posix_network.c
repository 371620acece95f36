/* Linux: see network.h. */
#ifndef _WIN32
#define _GNU_SOURCE
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

void start_network(void) {}

static struct sockaddr_in local_address(int port, bool everywhere) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(everywhere ? INADDR_ANY : INADDR_LOOPBACK);
    return address;
}

int unused_port(void) {
    struct sockaddr_in address = local_address(0, false);
    socklen_t size = sizeof address;
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool fine = handle >= 0 && !bind(handle, (struct sockaddr *)&address, size)
                && !getsockname(handle, (struct sockaddr *)&address, &size);
    if (handle >= 0) close(handle);
    return fine ? ntohs(address.sin_port) : 0;
}

void do_not_block(long socket) { fcntl((int)socket, F_SETFL, O_NONBLOCK); }

long listen_on(int port, bool everywhere) {
    struct sockaddr_in address = local_address(port, everywhere);
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    /* Linux: a port that only waits for its last connections to expire is free; one that is listened on is not. */
    setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (handle >= 0 && !bind(handle, (struct sockaddr *)&address, sizeof address) && !listen(handle, 32)) {
        do_not_block(handle);
        return handle;
    }
    if (handle >= 0) close(handle);
    return -1;
}

long accept_from(long listener) { return accept4((int)listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

void wait_for_sockets(waiting *all, int count, int milliseconds) {
    struct pollfd polled[256];
    for (int i = 0; i < count; i++)
        polled[i] = (struct pollfd){(int)all[i].socket, (short)((all[i].want_read ? POLLIN : 0) | (all[i].want_write ? POLLOUT : 0)), 0};
    bool any = poll(polled, (nfds_t)count, milliseconds) > 0;
    for (int i = 0; i < count; i++) {
        all[i].can_read = any && (polled[i].revents & (POLLIN | POLLHUP | POLLERR));
        all[i].can_write = any && (polled[i].revents & (POLLOUT | POLLHUP | POLLERR));
    }
}

bool would_block(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

long connect_local(int port, int timeout_seconds) {
    struct sockaddr_in address = local_address(port, false);
    struct timeval timeout = {timeout_seconds, 0};
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (handle < 0) return -1;
    setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (connect(handle, (struct sockaddr *)&address, sizeof address)) {
        close(handle);
        return -1;
    }
    return handle;
}

long send_bytes(long socket, const char *data, long size) { return (long)send((int)socket, data, (size_t)size, 0); }
long receive_bytes(long socket, char *data, long size) { return (long)recv((int)socket, data, (size_t)size, 0); }
void end_sending(long socket) { shutdown((int)socket, SHUT_WR); }
void close_socket(long socket) { close((int)socket); }

void each_address(void (*seen)(const char *address, void *data), void *data) {
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all)) return;
    for (struct ifaddrs *one = all; one; one = one->ifa_next) {
        char text[INET_ADDRSTRLEN];
        if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET || (one->ifa_flags & IFF_LOOPBACK)) continue;
        struct sockaddr_in *address = (struct sockaddr_in *)(void *)one->ifa_addr;
        if (inet_ntop(AF_INET, &address->sin_addr, text, sizeof text)) seen(text, data);
    }
    freeifaddrs(all);
}
#endif
