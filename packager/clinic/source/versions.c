/* See versions.h. Trust comes from the package that a person opened, never from the one that is to be let in: the key
 * that is pinned in the first is asked of the others. */
#include "versions.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "key.h"
#include "package.h"
#include "say.h"
#include "signature.h"

enum { MOST_VERSIONS = 64, FORMAT = 4 };

typedef struct {
    char folder[PATH_MAX_LENGTH], version[128];
    double format;
    bool opened; /* the one that the person opened */
} candidate;

typedef struct {
    const char *parent, *name, *folder;
    candidate found[MOST_VERSIONS];
    int count;
} candidates;

/* A name or version that a folder states of itself, or false. */
static bool states(const char *folder, const char *key, char *out, size_t size) {
    char path[PATH_MAX_LENGTH];
    char *config = path_of(path, folder, "runtime/config.json") ? read_whole(path) : NULL;
    char *value = json_text(json_member(config, key));
    bool stated = value && snprintf(out, size, "%s", value) < (int)size;
    free(value);
    free(config);
    return stated;
}

static double format_of(const char *folder) {
    char path[PATH_MAX_LENGTH];
    char *config = path_of(path, folder, "runtime/config.json") ? read_whole(path) : NULL;
    double format = json_number(json_member(config, "format"), 0);
    free(config);
    return format;
}

/* A folder beside the one that was opened, or with "" that one. */
static void consider(const char *name, void *data) {
    candidates *all = data;
    candidate *one = &all->found[all->count];
    char stated[256];
    if (all->count == MOST_VERSIONS) return;
    if (!*name) strcpy(one->folder, all->folder);
    else if (!path_of(one->folder, all->parent, name) || same_path(one->folder, all->folder)) return;
    if (!states(one->folder, "recipe", stated, sizeof stated) || strcmp(stated, all->name)) return;
    if (!states(one->folder, "version", one->version, sizeof one->version)) return;
    one->opened = same_path(one->folder, all->folder);
    one->format = format_of(one->folder);
    all->count++;
}

/* Runs of digits compare as numbers, the rest as text: 2026.9 is older than 2026.10. */
static int compare_versions(const char *a, const char *b) {
    while (*a && *b) {
        size_t digits_a = strspn(a, "0123456789"), digits_b = strspn(b, "0123456789");
        if (digits_a && digits_b) {
            unsigned long long x = strtoull(a, NULL, 10), y = strtoull(b, NULL, 10);
            if (x != y) return x < y ? -1 : 1;
            a += digits_a, b += digits_b;
        } else {
            if (*a != *b) return *a < *b ? -1 : 1;
            a++, b++;
        }
    }
    return *a ? 1 : *b ? -1 : 0;
}

static int newest_first(const void *a, const void *b) {
    return -compare_versions(((const candidate *)a)->version, ((const candidate *)b)->version);
}

static bool refuse(const char *words) {
    complain("  %s\n", words);
    return false;
}

/* Is it by `key`? Whatever keeps it from being started is said. */
static bool is_by(const candidate *one, const char *key) {
    char path[PATH_MAX_LENGTH], ours[KEY_NUMBERS] = "?", theirs[KEY_NUMBERS] = "?";
    signature found = signature_of(one->folder, key);
    if (was_interrupted()) return false; /* and ssh-keygen with it: that says nothing of the files */
    switch (found) {
    case SIGNED_BY_KEY:
        key_numbers(key, ours);
        say("  Assinatura conferida. Números da chave: %s\n", ours);
        return true;
    case NOT_SIGNED:
        return refuse(states_signed(one->folder) ? "Foi assinada e a assinatura foi retirada."
                                                 : "Não está assinada, e só uma assinada pela mesma chave é aceita.");
    case SIGNED_OTHERWISE:
        key_numbers(key, ours);
        if (path_of(path, one->folder, "SHA256SUMS.sig")) numbers_of_signature(path, theirs);
        complain("  Está assinada por outra chave.\n    Números desta:      %s\n    Números esperados:  %s\n", theirs, ours);
        return false;
    case SIGNATURE_WRONG:
        return refuse("A assinatura não confere: os arquivos não são os que foram assinados.");
    case NOT_CHECKABLE:
        break;
    }
    if (!one->opened) return refuse("A assinatura não pode ser conferida: falta o ssh-keygen neste computador.");
    say("  A assinatura não pode ser conferida: falta o ssh-keygen neste computador.\n");
    return true;
}

/* Without a key of ours only the package's own word can be asked; people can compare its numbers. */
static bool agrees_with_itself(const candidate *one) {
    char key[KEY_TEXT];
    if (stated_key(one->folder, key)) return is_by(one, key);
    if (states_signed(one->folder) && !has_signature(one->folder)) return refuse("Foi assinada e a assinatura foi retirada.");
    if (has_signature(one->folder))
        say("  Está assinada, mas não diz por quem. Para conferir: iniciar --chave ARQUIVO\n");
    return true;
}

static bool may_start(const candidate *one, const char *given, const char *pinned) {
    char sums[PATH_MAX_LENGTH];
    if (!path_of(sums, one->folder, "SHA256SUMS") || !is_file(sums))
        return refuse("SHA256SUMS está faltando: a cópia desta pasta não foi até o fim.");
    if (!one->opened && one->format != FORMAT)
        return refuse("É de outra geração e precisa do programa dela: abra o iniciar que está na pasta dela.");
    if (given && is_by(one, given)) return true;
    if (was_interrupted()) return false;
    if (given) return one->opened ? refuse("  - SHA256SUMS.sig: a assinatura não confere com a chave dada.") : false;
    return pinned ? is_by(one, pinned) : agrees_with_itself(one);
}

bool choose_package(const char *folder, const char *key, bool all, char *chosen) {
    char name[256] = "", parent[PATH_MAX_LENGTH], resolved[PATH_MAX_LENGTH], pinned[KEY_TEXT];
    static candidates found;
    snprintf(parent, sizeof parent, "%s/..", folder);
    if (absolute_path(parent, resolved)) strcpy(parent, resolved);
    found = (candidates){.parent = parent, .name = name, .folder = folder};
    if (states(folder, "recipe", name, sizeof name)) {
        /* By itself: it may be hidden, on top of a drive, or in a folder that cannot be listed. */
        consider("", &found);
        each_folder(parent, consider, &found);
    }
    if (!found.count) {
        /* Without a readable configuration there is nothing to choose from: say what is wrong with this one. */
        strcpy(chosen, folder);
        return package_is_whole(folder, all) && !key;
    }
    bool is_pinned = stated_key(folder, pinned);
    qsort(found.found, (size_t)found.count, sizeof *found.found, newest_first);
    for (int i = 0; i < found.count && !was_interrupted(); i++) {
        candidate *one = &found.found[i];
        if (found.count > 1) say("Versão %s (%s):\n", one->version, one->folder);
        if (may_start(one, key, is_pinned ? pinned : NULL) && package_is_whole(one->folder, all)) {
            strcpy(chosen, one->folder);
            return true;
        }
        if (i + 1 < found.count && !was_interrupted()) complain("Esta versão fica de fora. Tentando a anterior…\n");
    }
    return false;
}
