/* Text cut into figures and words, and what a figure is worth. */
#ifndef KNOWLEDGE_TOKENS_H
#define KNOWLEDGE_TOKENS_H

enum { TOKEN_MAX = 48 };

/* A figure, a run of letters, or % or °; folded. `before`: what stands between it and the token before, 0 for blanks
 * alone, '/' for a slash, ',' for other signs, '.' for the end of a sentence. `counted`: it is part of a quantity's number. */
typedef struct { char text[TOKEN_MAX]; int is_number, counted; char before; } token;

/* The token at `at`, or 0 where there is none; `taken` is how far it goes. */
int take_token(const char *at, const char *end, token *out, long *taken);
/* 1.000 is a thousand, 0.125 and 0,125 are an eighth, 1/2 is a half. -1: what could be read in two ways, as 1,250, or is
 * two numbers, as 12/8; that is only equal to what is written alike. */
double value_of_figure(const char *figure);
#endif
