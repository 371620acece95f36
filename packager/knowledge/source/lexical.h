/* BM25 over the stems of the passages, and the accented spelling that the passages use. */
#ifndef KNOWLEDGE_LEXICAL_H
#define KNOWLEDGE_LEXICAL_H
typedef struct lexical lexical;
/* questions[i] counts twice, texts[i] once; the strings must outlive it. */
lexical *lexical_open(const char **questions, const char **texts, int passages);
void lexical_close(lexical *l);
/* Adds `weight` times the BM25 of `question` to scores[passage]. */
void lexical_score(const lexical *l, const char *question, double weight, double *scores);
/* How the passages write the folded word, where all of them write it with an accent; NULL otherwise. */
const char *lexical_accented(const lexical *l, const char *folded);
#endif
