/* Portuguese text as words without accents, and their stems. */
#ifndef KNOWLEDGE_WORDS_H
#define KNOWLEDGE_WORDS_H
#include <stddef.h>

#define WORD_MAX 64

typedef struct { const char *at; int length; char folded[WORD_MAX]; } word;

/* What the code point at `text` adds to a folded word (`out` has room for 4 bytes): bytes written, 0 for an accent of its
 * own, -1 where a word ends there. `bytes` is how long it is in the text. */
int fold(const char *text, char *out, int *bytes);
/* The next word at or after `text` (letters and digits of any alphabet, at most 63 bytes folded); 0 at the end. */
int next_word(const char *text, word *out);
/* Cut a folded word to its stem, in place: plural, gender and the commonest endings go. */
void stem(char *folded);
/* A word too common to search by (it is folded). */
int is_stopword(const char *folded);
#endif
