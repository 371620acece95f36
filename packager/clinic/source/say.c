/* See say.h. */
#include "say.h"

#include <stdarg.h>

#include "platform.h"

static bool unfinished; /* the last line on the terminal is one of say_progress */

static void put(FILE *stream, const char *format, va_list values) {
    static char text[8192];
    vsnprintf(text, sizeof text, format, values);
    if (unfinished && *text != '\r') print_text(stdout, "\n");
    unfinished = false;
    print_text(stream, text);
}

void say(const char *format, ...) {
    va_list values;
    va_start(values, format);
    put(stdout, format, values);
    va_end(values);
}

void complain(const char *format, ...) {
    va_list values;
    va_start(values, format);
    put(stderr, format, values);
    va_end(values);
}

void say_progress(const char *what, double done, double total) {
    static int last = -1;
    int percent = total > 0 ? (int)(100 * done / total) : 100;
    if (!is_terminal() || percent == last) return;
    last = percent;
    say("\r%s %3d %%%s", what, percent, percent >= 100 ? "\n" : "");
    unfinished = percent < 100;
}
