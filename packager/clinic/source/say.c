/* See say.h. */
#include "say.h"

#include <stdarg.h>
#include <string.h>

#include "platform.h"

static char line[8192];

void say(const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    print_text(stdout, line);
}

void complain(const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    print_text(stderr, line);
}

void say_progress(const char *what, double done, double total) {
    static int last = -1;
    int percent = total > 0 ? (int)(100 * done / total) : 100;
    if (!is_terminal() || percent == last) return;
    last = percent;
    say("\r%s %3d %%%s", what, percent, percent >= 100 ? "\n" : "");
}
