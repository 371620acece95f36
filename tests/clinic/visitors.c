/* The front and the folder of a running assistant, with a clock that a test moves on: test_clinic_clock.py compiles it. */
#include <stdlib.h>
#include <string.h>

#include "front.h"
#include "network.h"
#include "running.h"
#include "say.h"
#include "server.h"

enum { LONG_SECONDS = 1000, MORE_THAN_A_DAY = 90000 };

static double skipped, waited;

double __real_seconds_now(void);
double __wrap_seconds_now(void);
double __wrap_seconds_now(void) { return __real_seconds_now() + skipped; }

/* One in which nobody says anything may be long too. */
void __real_wait_for_sockets(waiting *all, int count, int milliseconds);
void __wrap_wait_for_sockets(waiting *all, int count, int milliseconds);
void __wrap_wait_for_sockets(waiting *all, int count, int milliseconds) {
    __real_wait_for_sockets(all, count, milliseconds);
    skipped += waited;
}

/* A search that takes long. */
char *find_in_material(material *of, const char *body, answer_mode mode) {
    (void)of, (void)body, (void)mode;
    skipped += LONG_SECONDS;
    return strdup("{}");
}

char *hold_against_material(material *of, const char *body) {
    (void)of, (void)body;
    return NULL;
}

char *ask_page(int port, const char *path, const char *key, int *code) {
    (void)port, (void)path, (void)key;
    *code = 0;
    return NULL;
}

static int receive_visitors(void) {
    front *front = open_front("/nowhere", false, "chave");
    if (!front) return OUR_FAULT;
    set_material(front, (material *)front, MODE_APPROVED); /* nothing looks into it here */
    say("%d\n", port_of(front));
    catch_interrupts();
    while (!was_interrupted()) attend(front, 100);
    close_front(front);
    return DONE;
}

/* Each line that comes is a day that has passed. */
static int keep_a_place(void) {
    place mine = {.version = "1"};
    char line[16];
    if (take_place(&mine, "meu_aps") != TAKEN) return OUR_FAULT;
    publish_place(&mine, 8180, "chave");
    say("%s\n", mine.folder);
    while (fgets(line, sizeof line, stdin)) {
        skipped += MORE_THAN_A_DAY;
        keep_place(&mine, false);
        say("%s\n", mine.folder);
    }
    leave_place(&mine);
    return DONE;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "silence")) waited = LONG_SECONDS;
    return strcmp(what, "place") ? receive_visitors() : keep_a_place();
}
