/* How many threads the server is given, by what other programs leave free. Its threads wait for each other at every step
 * without giving their cores away, so that one which shares its core with another program holds up all of them: one core
 * stays free, and one more for each other program that keeps one busy. The server takes another number only when it is
 * started anew. */
#ifndef CLINIC_THREADS_H
#define CLINIC_THREADS_H

#include <stdbool.h>

#include "process.h"

/* With nothing else at work: all physical cores but one, at least one. */
int most_threads(void);

/* Of so many physical cores, of which other programs keep so many busy (0: none, 1.5: one, and half of another). */
int threads_beside(int cores, double busy);

/* What is free at this moment, looked at for a third of a second where there are cores to choose. */
int free_threads(void);

/* How busy other programs have kept this machine while the server ran. */
typedef struct {
    double since, machine, server; /* when this period began, and the seconds of computing by then */
    int fewer, more;               /* periods in a row in which that many threads were wanted */
    bool used;
} watch;

/* At the end of a period in which so many threads were wanted: the new number when that pays by now, else 0. */
int after_period(watch *seen, int threads, int wanted);

/* A new number, when it pays to start the server again with it: other programs have been at work for half a minute, or
 * gone for five. 0: keep `threads`. To be called all the time; `used`: somebody is being answered now. */
int changed_threads(watch *seen, process *server, int threads, bool used);

#endif
