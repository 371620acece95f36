/* Numbers and words of a text, in the form in which two texts are compared: without accents, figures for number words. */
#ifndef KNOWLEDGE_QUANTITIES_H
#define KNOWLEDGE_QUANTITIES_H

#include "tokens.h"

enum { QUANTITY_MAX = 32 };

typedef struct { char number[QUANTITY_MAX], unit[QUANTITY_MAX]; } quantity;
typedef struct {
    token *token;
    quantity *quantity;
    int tokens, quantities;
} comparable;

/* Of `bytes` bytes of text; `free_comparable` gives it back. 2,50 is 2.5, "cento e vinte" is 120, "meio" is 0.5; half a
 * number more is added ("um e meio"), a dose by weight has it in its unit ("mg/kg"), and what cannot be read for sure, as
 * 12/8, is kept as it is written. A number without a unit has "" for it, and the articles "um" and "uma" are numbers only before a unit. */
comparable comparable_of(const char *text, long bytes);
void free_comparable(comparable *of);
/* The name of the unit that a word is, "" for none: miligramas is mg. */
const char *unit_of(const char *text);
#endif
