/* What the person reads: UTF-8, pt-BR. */
#ifndef CLINIC_SAY_H
#define CLINIC_SAY_H

/* Exit codes, the same as packager's. */
enum { DONE = 0, OUR_FAULT = 1, WRONG_USE = 2, NOT_PROVEN = 3, MACHINE_LACKS = 4, STOPPED = 130 };

__attribute__((format(printf, 1, 2))) void say(const char *format, ...);      /* to standard output */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...); /* to standard error */
void say_progress(const char *what, double done, double total); /* one line that is written over, on a terminal */

#endif
