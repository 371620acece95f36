/* An answer + the passages it was written from -> each of its sentences, and what keeps it from being shown.
 *
 * A sentence stands when one passage has each of its numbers with the same unit, all but a few of its content words, and
 * where the passage's own sentence that is nearest to it denies what it denies. It judges words, not meaning. */
#ifndef KNOWLEDGE_GROUNDING_H
#define KNOWLEDGE_GROUNDING_H
#include "search.h"

/* `why` is "" where it stands, else a class and what is lacking: `numbers: 3 gota`, `meaning: nao`, `words: marca xis`,
 * `empty: `, `nothing: `. */
typedef void (*knowledge_sentence)(const char *sentence, int bytes, const char *why, void *data);

/* Calls `seen` for each sentence of `answer`, in order; both are UTF-8. */
EXPORTED void knowledge_ground(const char *answer, const char *const *passages, int count, knowledge_sentence seen,
                               void *data);
/* What the model is asked in the mode `assisted`: the passages, numbered, and the question; `size` bytes at most. */
EXPORTED void knowledge_prompt(const char *question, const char *const *passages, int count, int portuguese, char *out,
                               size_t size);
#endif
