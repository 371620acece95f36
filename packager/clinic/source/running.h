/* One assistant of a kind at a time: a second start finds the first and opens its page. */
#ifndef CLINIC_RUNNING_H
#define CLINIC_RUNNING_H

#include <stdbool.h>

#include "platform.h"

typedef struct {
    char folder[PATH_MAX_LENGTH]; /* this user's own: the lock, the address, the server's log */
    const char *version;
    bool everywhere, browser;
    bool apart; /* in a folder without a lock, where no second start finds it */
    char name[17], key[64]; /* of the folder; of the page */
    int port;
    double kept; /* when it was last seen to */
} place;

enum { TAKEN = -1 };

/* TAKEN: it is ours until this program ends. Else a code of say.h: another one runs and its page was opened (DONE), or
 * what is wrong was said. */
int take_place(place *mine, const char *recipe);

/* From now on a second start opens this page. */
void publish_place(place *mine, int port, const char *key);

/* Systems remove what lies long in a temporary folder: once a day, or `now`, the files are made to look new, and those
 * that are gone are made again. */
void keep_place(place *mine, bool now);
void leave_place(const place *mine);

#endif
