/* See threads.h. */
#include "threads.h"

#include <math.h>

#include "platform.h"

enum { PERIOD_SECONDS = 10, PERIODS_FOR_FEWER = 3, PERIODS_FOR_MORE = 30, LOOK_MS = 300 };

/* A program that computes all the time shows as a little more than one core, with what the system does for it. */
static const double TOLERATED = 0.3;

int most_threads(void) { return threads_beside(physical_cores(), 0); }

int threads_beside(int cores, double busy) {
    int threads = (int)floor(cores + TOLERATED - fmax(1, busy));
    return threads > 1 ? threads : 1;
}

int free_threads(void) {
    int cores = physical_cores();
    if (cores < 3) return 1;
    double began = seconds_now(), machine = computed_seconds();
    sleep_ms(LOOK_MS);
    return threads_beside(cores, (computed_seconds() - machine) / (seconds_now() - began));
}

int after_period(watch *seen, int threads, int wanted) {
    seen->fewer = wanted < threads ? seen->fewer + 1 : 0;
    seen->more = wanted > threads ? seen->more + 1 : 0;
    return seen->fewer >= PERIODS_FOR_FEWER || seen->more >= PERIODS_FOR_MORE ? wanted : 0;
}

int changed_threads(watch *seen, process *server, int threads, bool used) {
    double now = seconds_now(), took = now - seen->since;
    seen->used = seen->used || used;
    if (took < PERIOD_SECONDS) return 0;
    double machine = computed_seconds(), own = process_seconds(server);
    bool first = !seen->since, idle = !seen->used;
    int cores = physical_cores();
    int wanted = threads_beside(cores, (machine - seen->machine - (own - seen->server)) / took);
    seen->since = now, seen->machine = machine, seen->server = own, seen->used = used;
    if (first) return 0;
    int better = after_period(seen, threads, wanted);
    return idle ? better : 0;
}
