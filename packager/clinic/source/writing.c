/* See writing.h. */
#include "writing.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void make_room(writing *to, size_t more) {
    if (to->used + more + 1 <= to->room) return;
    while (to->used + more + 1 > to->room) to->room = to->room ? 2 * to->room : 1024;
    to->text = realloc(to->text, to->room);
    if (!to->text) abort();
}

void put(writing *to, const char *format, ...) {
    va_list values, again;
    va_start(values, format);
    va_copy(again, values);
    int size = vsnprintf(NULL, 0, format, values);
    va_end(values);
    make_room(to, (size_t)size);
    vsnprintf(to->text + to->used, (size_t)size + 1, format, again);
    va_end(again);
    to->used += (size_t)size;
}

void put_json_text(writing *to, const char *text, size_t bytes) {
    put(to, "\"");
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') put(to, "\\%c", c);
        else if (c < 32) put(to, "\\u%04x", c);
        else put(to, "%c", c);
    }
    put(to, "\"");
}
