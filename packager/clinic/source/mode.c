/* See mode.h. The proof set the package's mode; here it may only be lowered. */
#include "mode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "say.h"

static const struct {
    const char *key, *asked, *words; /* %s: the material */
} MODES[] = {
    [MODE_FREE] = {"free", "livre", "livre: o modelo responde sozinho"},
    [MODE_ASSISTED] = {"assisted", "assistido", "assistido: o %s e, abaixo dele, um texto do modelo"},
    [MODE_APPROVED] = {"approved", "aprovado", "aprovado: só o %s, palavra por palavra"},
};
enum { MODE_COUNT = sizeof MODES / sizeof *MODES };

answer_mode packaged_mode(const char *config) {
    char *stated = json_text(json_member(config, "mode"));
    answer_mode mode = MODE_FREE;
    for (int i = 0; stated && i < MODE_COUNT; i++)
        if (!strcmp(stated, MODES[i].key)) mode = (answer_mode)i;
    free(stated);
    return mode;
}

bool choose_mode(const char *config, const char *asked, answer_mode *chosen) {
    answer_mode allowed = packaged_mode(config);
    *chosen = allowed;
    if (!asked) return true;
    int wanted = 0;
    while (wanted < MODE_COUNT && strcmp(asked, MODES[wanted].asked)) wanted++;
    if (wanted == MODE_COUNT) {
        complain("--modo %s não existe. Use --modo aprovado ou --modo assistido.\n", asked);
        return false;
    }
    *chosen = (answer_mode)wanted;
    if (allowed == MODE_FREE && wanted != MODE_FREE) {
        complain("Este pacote não traz material, e só tem o modo livre.\n");
        return false;
    }
    if (*chosen >= allowed) return true;
    complain("A prova deste pacote permite o modo %s.\nOutro modo só pode ser mais restrito.\n", mode_words(allowed, config));
    return false;
}

const char *mode_key(answer_mode mode) { return MODES[mode].key; }

const char *material_words(const char *config) {
    char *by = json_text(json_member(config, "approved_by"));
    bool named = by && *by;
    free(by);
    return named ? "material aprovado" : "material do pacote";
}

const char *mode_words(answer_mode mode, const char *config) {
    static char words[128];
    snprintf(words, sizeof words, MODES[mode].words, material_words(config));
    return words;
}
