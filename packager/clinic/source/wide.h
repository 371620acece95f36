/* Windows only. */
#ifndef CLINIC_WIDE_H
#define CLINIC_WIDE_H

#include <wchar.h>
#include <windows.h>

wchar_t *wide(const char *text, wchar_t *out); /* UTF-8 to UTF-16, at most PATH_MAX_LENGTH; empty where it is too long */
double seconds_of(FILETIME time);

#endif
