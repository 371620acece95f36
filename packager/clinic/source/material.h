/* The approved material of a package: what it says to a question, and what of a model's words stands in it. The search is
 * that of the build (packager/knowledge/source). */
#ifndef CLINIC_MATERIAL_H
#define CLINIC_MATERIAL_H

#include "mode.h"

typedef struct material material;

/* Its files, beside the weights. */
enum { MATERIAL_FILES = 3 };
extern const char *const MATERIAL[MATERIAL_FILES];

/* NULL, and said: a file is missing or damaged. `config`: config.json. */
material *open_material(const char *folder, const char *config);
void close_material(material *of);

/* {"question": …} -> what is shown, as JSON: mode, verdict, passages with their source, and in the mode `assisted` what
 * the model is to be asked. {"answer": …, "places": […]} -> its sentences, each with what keeps it from being shown. The
 * caller frees it; NULL: the body is not of that form. */
char *find_in_material(material *of, const char *body, answer_mode mode);
char *hold_against_material(material *of, const char *body);

/* Questions of standard input, a line each -> verdict and ranking of each, a line of JSON. */
int rank_lines(material *of);
/* The searches that prova.json recorded, again: how many of them are other here (0: none), or -1 without any. */
int replay_searches(material *of, const char *proof, int *count);

#endif
