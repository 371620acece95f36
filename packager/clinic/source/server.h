/* llama-server as a child of this program: start it, wait for it, ask it, stop it. */
#ifndef CLINIC_SERVER_H
#define CLINIC_SERVER_H

#include <stdbool.h>

#include "platform.h"

typedef struct {
    process *child;
    int port;
    char temporary[PATH_MAX_LENGTH]; /* its log, and its program if the stick may not run it */
} server;

/* The machine against what the package needs; everything that is wrong is said. */
bool machine_suffices(const char *folder, const char *config);

/* Start it and wait until it answers. Returns an exit code of say.h; a failure has been said. */
int start_server(server *running, const char *folder, const char *config, bool everywhere);
void stop_server(server *running);

/* Say why it ended by itself: the reason, and the last lines it wrote. */
void say_why_it_ended(const server *running, long status);

/* POST a body (GET without one); the answer's body, which the caller frees, or NULL. `code` is the HTTP status. */
char *ask_server(int port, const char *path, const char *body, int timeout_seconds, int *code);

#endif
