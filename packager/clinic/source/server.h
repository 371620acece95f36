/* llama-server as a child of this program: start it, wait for it, ask it, stop it. */
#ifndef CLINIC_SERVER_H
#define CLINIC_SERVER_H

#include <stdbool.h>

#include "front.h"
#include "platform.h"
#include "process.h"

typedef struct {
    process *child;
    int port;      /* of the machine's own free ones; nobody is told */
    int threads;
    double load_seconds; /* that it took until it answered, and had read the beginning */
    char key[33];  /* without it the server answers nothing */
    char temporary[PATH_MAX_LENGTH]; /* its log, and its program if the stick may not run it */
} server;

/* A key that nobody guesses, of letters and digits that people can tell apart. False: no chance is to be had here. */
bool make_key(char *out, int length);

/* Start it and wait until it answers; meanwhile `front` (or NULL) is attended. `temporary` exists. Returns an exit code of
 * say.h; a failure has been said. `threads`: 0 for as many as other programs leave free. */
int start_server(server *running, const char *folder, const char *config, const char *temporary, int threads, front *front);
void stop_server(server *running);

/* Print the command line that it would be started with, an argument a line: for who builds the package. */
int print_command(const char *folder, const char *config);

/* Let it read what every conversation begins with, so that nobody waits for that; meanwhile `front` is attended. */
void read_beginning(server *running, const char *config, front *front);

/* Say why it ended by itself: the reason, and the last lines it wrote. */
void say_why_it_ended(const server *running, long status);

/* POST a body (GET without one); the answer's body, which the caller frees, or NULL. `code` is the HTTP status. */
char *ask_server(const server *running, const char *path, const char *body, int timeout_seconds, int *code);

/* GET as the page asks: another front, by its port and key. */
char *ask_page(int port, const char *path, const char *key, int *code);

#endif
