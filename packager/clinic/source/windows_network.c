/* Windows 10 and later: see network.h. */
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>

#include "network.h"

void start_network(void) {
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
}

static struct sockaddr_in local_address(int port, bool everywhere) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(everywhere ? INADDR_ANY : INADDR_LOOPBACK);
    return address;
}

int unused_port(void) {
    struct sockaddr_in address = local_address(0, false);
    int size = sizeof address;
    SOCKET handle = socket(AF_INET, SOCK_STREAM, 0);
    bool fine = handle != INVALID_SOCKET && !bind(handle, (struct sockaddr *)&address, size)
                && !getsockname(handle, (struct sockaddr *)&address, &size);
    if (handle != INVALID_SOCKET) closesocket(handle);
    return fine ? ntohs(address.sin_port) : 0;
}

void do_not_block(long socket) {
    u_long yes = 1;
    ioctlsocket((SOCKET)socket, FIONBIO, &yes);
}

long listen_on(int port, bool everywhere) {
    struct sockaddr_in address = local_address(port, everywhere);
    SOCKET handle = socket(AF_INET, SOCK_STREAM, 0);
    BOOL yes = TRUE;
    if (handle == INVALID_SOCKET) return -1;
    /* Without it another program could take the same port with SO_REUSEADDR. */
    setsockopt(handle, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *)&yes, sizeof yes);
    SetHandleInformation((HANDLE)handle, HANDLE_FLAG_INHERIT, 0);
    if (!bind(handle, (struct sockaddr *)&address, sizeof address) && !listen(handle, 32)) {
        do_not_block((long)handle);
        return (long)handle;
    }
    closesocket(handle);
    return -1;
}

long accept_from(long listener) {
    SOCKET handle = accept((SOCKET)listener, NULL, NULL);
    if (handle == INVALID_SOCKET) return -1;
    SetHandleInformation((HANDLE)handle, HANDLE_FLAG_INHERIT, 0);
    do_not_block((long)handle);
    return (long)handle;
}

void wait_for_sockets(waiting *all, int count, int milliseconds) {
    WSAPOLLFD polled[256];
    for (int i = 0; i < count; i++)
        polled[i] = (WSAPOLLFD){(SOCKET)all[i].socket, (SHORT)((all[i].want_read ? POLLRDNORM : 0) | (all[i].want_write ? POLLWRNORM : 0)), 0};
    bool any = WSAPoll(polled, (ULONG)count, milliseconds) > 0;
    for (int i = 0; i < count; i++) {
        all[i].can_read = any && (polled[i].revents & (POLLRDNORM | POLLHUP | POLLERR));
        all[i].can_write = any && (polled[i].revents & (POLLWRNORM | POLLHUP | POLLERR));
    }
}

bool would_block(void) { return WSAGetLastError() == WSAEWOULDBLOCK; }

long connect_local(int port, int timeout_seconds) {
    struct sockaddr_in address = local_address(port, false);
    DWORD timeout = (DWORD)timeout_seconds * 1000;
    SOCKET handle = socket(AF_INET, SOCK_STREAM, 0);
    if (handle == INVALID_SOCKET) return -1;
    setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, (const char *)&timeout, sizeof timeout);
    if (connect(handle, (struct sockaddr *)&address, sizeof address)) {
        closesocket(handle);
        return -1;
    }
    return (long)handle; /* socket handles fit in 32 bits */
}

long send_bytes(long socket, const char *data, long size) { return send((SOCKET)socket, data, (int)size, 0); }
long receive_bytes(long socket, char *data, long size) { return recv((SOCKET)socket, data, (int)size, 0); }
void end_sending(long socket) { shutdown((SOCKET)socket, SD_SEND); }
void close_socket(long socket) { closesocket((SOCKET)socket); }

void each_address(void (*seen)(const char *address, void *data), void *data) {
    char host[256], text[INET_ADDRSTRLEN];
    struct addrinfo hints = {.ai_family = AF_INET}, *all = NULL;
    if (gethostname(host, sizeof host) || getaddrinfo(host, NULL, &hints, &all)) return;
    for (struct addrinfo *one = all; one; one = one->ai_next) {
        struct sockaddr_in *address = (struct sockaddr_in *)(void *)one->ai_addr;
        if (ntohl(address->sin_addr.s_addr) >> 24 != 127 && inet_ntop(AF_INET, &address->sin_addr, text, sizeof text))
            seen(text, data);
    }
    freeaddrinfo(all);
}
#endif
