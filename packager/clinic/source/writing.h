/* Text that grows, and JSON in it. */
#ifndef CLINIC_WRITING_H
#define CLINIC_WRITING_H

#include <stddef.h>

typedef struct {
    char *text; /* ends in a zero; the owner frees it */
    size_t used, room;
} writing;

__attribute__((format(printf, 2, 3))) void put(writing *to, const char *format, ...);
void put_json_text(writing *to, const char *text, size_t bytes); /* in quotation marks, escaped */

#endif
