/* How the page answers, from the most that is left to the model to the least. */
#ifndef CLINIC_MODE_H
#define CLINIC_MODE_H

#include <stdbool.h>

typedef enum { MODE_FREE, MODE_ASSISTED, MODE_APPROVED } answer_mode;

/* The package's own, of its config.json. */
answer_mode packaged_mode(const char *config);
/* What `asked` (--modo: assistido, aprovado; or NULL) makes of it. False, and said: it is no mode, or asks for more than
 * the proof allowed. */
bool choose_mode(const char *config, const char *asked, answer_mode *chosen);
const char *mode_key(answer_mode mode);   /* as config.json and the page have it */
const char *mode_words(answer_mode mode, const char *config); /* for people, until it is called again */
/* What the material is called: nobody says that it is approved where config.json names nobody who did (`approved_by`). */
const char *material_words(const char *config);

#endif
