/* SHA256SUMS against the files of a folder. The same rules as `packager verify`: nothing missing, nothing extra,
 * nothing altered; a line that is not a checksum is a fault. */
#include "package.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "say.h"
#include "sha256.h"
#include "signature.h"

enum { MOST_FILES = 4096, MOST_VERSIONS = 64 };

typedef struct {
    char *sha256, *name;
    bool there;
} listed;

typedef struct {
    const char *folder;
    listed files[MOST_FILES];
    int count, faults;
    double bytes, hashed;
} state;

typedef struct {
    char folder[PATH_MAX_LENGTH], version[128];
} candidate;

typedef struct {
    const char *parent, *name;
    candidate found[MOST_VERSIONS];
    int count;
} candidates;

static bool path_of(char *out, const char *folder, const char *name) {
    const char *slash = *folder && folder[strlen(folder) - 1] == '/' ? "" : "/"; /* "E:/" ends in one */
    return snprintf(out, PATH_MAX_LENGTH, "%s%s%s", folder, slash, name) < PATH_MAX_LENGTH;
}

static void fault(state *package, const char *name, const char *says) {
    package->faults++;
    complain("  - %s: %s\n", name, says);
}

static listed *find(state *package, const char *name) {
    for (int i = 0; i < package->count; i++)
        if (!strcmp(package->files[i].name, name)) return &package->files[i];
    return NULL;
}

static bool is_safe_name(const char *name) {
    bool climbs = !strncmp(name, "../", 3) || strstr(name, "/../") || !strcmp(name, "..");
    return *name && *name != '/' && !climbs && !strpbrk(name, "\\:") && strcmp(name, "SHA256SUMS");
}

/* The lines of SHA256SUMS, cut in place. */
static void read_sums(state *package, char *text) {
    for (char *line = strtok(text, "\r\n"); line; line = strtok(NULL, "\r\n")) {
        size_t digits = strspn(line, "0123456789abcdef");
        bool form = digits == 64 && line[64] == ' ' && (line[65] == ' ' || line[65] == '*');
        if (!form || !is_safe_name(line + 66) || find(package, line + 66) || package->count == MOST_FILES) {
            fault(package, "SHA256SUMS", "uma linha não tem a forma esperada");
            continue;
        }
        line[64] = 0;
        package->files[package->count++] = (listed){.sha256 = line, .name = line + 66};
    }
    if (!package->count) fault(package, "SHA256SUMS", "está vazio");
}

static void look_at(const char *relative, bool regular, void *data) {
    state *package = data;
    listed *known = find(package, relative);
    if (known && regular) {
        char path[PATH_MAX_LENGTH];
        known->there = path_of(path, package->folder, relative);
        package->bytes += (double)file_size(path);
    } else if (strcmp(relative, "SHA256SUMS") && strcmp(relative, "SHA256SUMS.sig")) {
        fault(package, relative, "não faz parte do pacote");
    }
}

static void hashed(long long bytes, void *data) {
    state *package = data;
    package->hashed += (double)bytes;
    say_progress("Conferindo os arquivos:", package->hashed, package->bytes);
}

static void compare(state *package) {
    for (int i = 0; i < package->count && !was_interrupted(); i++) {
        listed *file = &package->files[i];
        char path[PATH_MAX_LENGTH], actual[65];
        if (!file->there) {
            fault(package, file->name, "está faltando");
        } else if (!path_of(path, package->folder, file->name) || !sha256_of_file(path, actual, hashed, package)) {
            fault(package, file->name, "não pode ser lido");
        } else if (strcmp(actual, file->sha256)) {
            fault(package, file->name, "foi alterado ou copiado com defeito");
        }
    }
}

bool package_is_whole(const char *folder, const char *key) {
    char path[PATH_MAX_LENGTH];
    state *package = calloc(1, sizeof *package);
    char *text = path_of(path, folder, "SHA256SUMS") ? read_whole(path) : NULL;
    if (!package) return false;
    package->folder = folder;
    if (!text) {
        fault(package, "SHA256SUMS", "está faltando ou não pode ser lido");
    } else {
        read_sums(package, text);
        each_file(folder, look_at, package);
        compare(package);
        if (!package->faults && !was_interrupted() && !signature_is_good(folder, key))
            fault(package, "SHA256SUMS.sig", "a assinatura não confere");
    }
    bool whole = !package->faults && !was_interrupted();
    if (whole) say("Pacote conferido: %d arquivos, %.0f MB, tudo certo.\n", package->count, package->bytes / 1e6);
    free(text);
    free(package);
    return whole;
}

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

static void consider(const char *name, void *data) {
    candidates *all = data;
    candidate *one = &all->found[all->count];
    char stated[256];
    if (all->count == MOST_VERSIONS || !path_of(one->folder, all->parent, name)) return;
    if (!states(one->folder, "recipe", stated, sizeof stated) || strcmp(stated, all->name)) return;
    if (states(one->folder, "version", one->version, sizeof one->version)) all->count++;
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

bool newest_whole(const char *folder, const char *key, char *chosen) {
    char name[256] = "", parent[PATH_MAX_LENGTH];
    static candidates all;
    snprintf(parent, sizeof parent, "%s/..", folder);
    all = (candidates){.parent = parent, .name = name};
    char resolved[PATH_MAX_LENGTH];
    if (absolute_path(parent, resolved)) strcpy(parent, resolved);
    if (states(folder, "recipe", name, sizeof name)) each_folder(parent, consider, &all);
    if (!all.count) {
        /* Without a readable configuration there is nothing to choose from: say what is wrong with this one. */
        strcpy(chosen, folder);
        return package_is_whole(folder, key);
    }
    qsort(all.found, (size_t)all.count, sizeof *all.found, newest_first);
    for (int i = 0; i < all.count && !was_interrupted(); i++) {
        candidate *one = &all.found[i];
        if (all.count > 1) say("Versão %s (%s):\n", one->version, one->folder);
        if (package_is_whole(one->folder, key)) {
            strcpy(chosen, one->folder);
            return true;
        }
        if (i + 1 < all.count && !was_interrupted())
            complain("Esta versão não está inteira e fica de fora. Copie-a de novo. Tentando a anterior…\n");
    }
    return false;
}
