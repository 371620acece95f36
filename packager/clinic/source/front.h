/* What stands before llama-server: it alone listens where a browser can reach it, gives out the page, and hands on a
 * question only if this page asks it. llama-server itself knows neither Host nor Origin, and has many more routes. */
#ifndef CLINIC_FRONT_H
#define CLINIC_FRONT_H

#include <stdbool.h>

#include "material.h"
#include "platform.h"

typedef struct front front;

/* Listen on the first free port from 8180 on; nobody else can have it then. NULL, and said: none is free.
 * `folder`: the package, whose page is read now. `key`: what the page must know. */
front *open_front(const char *folder, bool everywhere, const char *key);
int port_of(const front *front);

/* How questions are answered, and from what (NULL in the mode `free`). */
void set_material(front *front, material *of, answer_mode mode);

/* Where the server listens and the key it wants; 0: there is none now, which is said to whoever asks. */
void set_server(front *front, int port, const char *key);

/* Somebody waits for the server. */
bool is_in_use(const front *front);

/* Answer whoever asks, for so long. */
void attend(front *front, int milliseconds);
void close_front(front *front);

#endif
