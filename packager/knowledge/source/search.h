/* Approved passages found by meaning and by words: knowledge.bin + e5's model + a question -> passages with scores.
 *
 * knowledge.bin (little-endian): "PKNOW002", u32 passages, u32 dimensions, i32 near and i32 sure (millionths), u32 bytes
 * of the expressions, u64 bytes of the texts; the expressions (expressions.tsv as it is); for each passage its question
 * and its text, a zero byte after each; zero bytes up to a multiple of 4; float32 vectors, a row for each passage; i32
 * hubness of each passage (millionths).
 */
#ifndef KNOWLEDGE_SEARCH_H
#define KNOWLEDGE_SEARCH_H
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define EXPORTED __declspec(dllexport)
#else
#define EXPORTED __attribute__((visibility("default")))
#endif

#define KNOWLEDGE_HEADER 36
typedef struct knowledge knowledge;
typedef struct { int32_t passage; int32_t score; } knowledge_hit; /* counted from 0; millionths */
enum { KNOWLEDGE_NEIGHBOURS = 10 }; /* of which hubness is the mean score */
/* FOUND: the best passage is the answer; NEAR: it is about the same, and may be shown as the closest, not as the answer;
 * the others: nothing may be shown. */
enum { KNOWLEDGE_FOUND, KNOWLEDGE_NEAR, KNOWLEDGE_FAR, KNOWLEDGE_DOSE, KNOWLEDGE_LOCAL, KNOWLEDGE_EMPTY };

/* Both buffers must outlive what is returned; NULL with a reason when they are not what they should be. */
EXPORTED knowledge *knowledge_open(const void *model, size_t model_bytes, const void *file, size_t file_bytes,
                                   const char **why);
EXPORTED void knowledge_close(knowledge *k);
/* The `most` best passages, best first (equal scores: the earlier passage), and what may be shown of them. */
EXPORTED int knowledge_ask(knowledge *k, const char *question, knowledge_hit *hits, int most, int *verdict);
/* How close every passage is before hubness is taken off (millionths), and what remains after it; 0 without a word. */
EXPORTED int knowledge_scores(knowledge *k, const char *question, int32_t *scores);
EXPORTED void knowledge_without_hubness(const knowledge *k, int32_t *scores);
/* What is shown for a question: how many of the first KNOWLEDGE_SHOWN hits, 0 where it is refused (`verdict` says why). */
enum { KNOWLEDGE_SHOWN = 3 };
EXPORTED int knowledge_answer(knowledge *k, const char *question, knowledge_hit *hits, int *verdict);
/* The same, and where that is 0 how many of the hits knowledge_meant would give: both for one computation. */
int knowledge_find(knowledge *k, const char *question, knowledge_hit *hits, int *verdict, int *meant);
/* Where nothing is close enough: how many of the first KNOWLEDGE_SHOWN hits have questions that may have been meant. */
EXPORTED int knowledge_meant(knowledge *k, const char *question, knowledge_hit *hits);
/* Passages, and the question and text of one. */
EXPORTED int knowledge_count(const knowledge *k);
EXPORTED const char *knowledge_question(const knowledge *k, int passage);
EXPORTED const char *knowledge_text(const knowledge *k, int passage);
/* The question as it is searched: `size` bytes at most, cut at a byte. */
EXPORTED void knowledge_rewritten(const knowledge *k, const char *question, char *out, size_t size);
/* The vector of a passage: 0.8 of question and text, 0.2 of the question alone. 0, or -1 when the model is not e5's. */
EXPORTED int knowledge_vector(void *model, const char *question, const char *text, float *out);
EXPORTED void *knowledge_model(const void *model, size_t bytes); /* for knowledge_vector */
EXPORTED void knowledge_model_close(void *model);
#endif
