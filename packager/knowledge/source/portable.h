/* Forced in front of e5.c (-include): functions whose last bit differs between C libraries become ours, so that
 * glibc, musl and mingw compute the same vectors. */
#ifndef KNOWLEDGE_PORTABLE_H
#define KNOWLEDGE_PORTABLE_H
#include <math.h>
#include <stdlib.h>

float knowledge_expf(float x);
float knowledge_erff(float x);
double knowledge_exp(double x);
double knowledge_ln(double x); /* of a number above zero */

#define expf knowledge_expf
#define erff knowledge_erff
#ifdef _WIN32
#define aligned_alloc(alignment, size) malloc(size) /* e5.c reads it unaligned, and hands it to free() */
#endif
#endif
