/* SHA256SUMS against the files of a folder: nothing missing, nothing altered, nothing added in runtime/ and no program
 * outside it; a line that is not a checksum is a fault. `packager verify` holds the same rules. */
#include "package.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "material.h"
#include "say.h"
#include "sha256.h"

enum { MOST_FILES = 4096, SHOWN = 5 };

typedef struct {
    char *sha256, *name;
    bool there, wanted;
} listed;

typedef struct {
    const char *folder;
    listed files[MOST_FILES];
    int count, faults, wanted, ignored;
    double bytes, hashed;
} state;

bool path_of(char *out, const char *folder, const char *name) {
    const char *slash = *folder && folder[strlen(folder) - 1] == '/' ? "" : "/"; /* "E:/" ends in one */
    return snprintf(out, PATH_MAX_LENGTH, "%s%s%s", folder, slash, name) < PATH_MAX_LENGTH;
}

char *model_in(const char *config) {
    char *name = json_text(json_member(config, "model")), *path = name ? malloc(sizeof PACKAGE + strlen(name)) : NULL;
    if (path) strcat(strcpy(path, PACKAGE), name);
    free(name);
    return path;
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

static bool ends_in(const char *name, size_t length, const char *ending) {
    size_t end = strlen(ending);
    if (length < end) return false;
    for (size_t i = 0; i < end; i++) {
        char letter = name[length - end + i];
        if ((letter >= 'A' && letter <= 'Z' ? letter + 32 : letter) != ending[i]) return false;
    }
    return true;
}

/* What somebody might start by mistake for a part of the package. */
static bool may_run(const char *name) {
    static const char *const endings[] = {
        ".exe", ".com", ".bat", ".cmd", ".sh", ".scr", ".pif", ".msi", ".dll", ".vbs", ".js", ".wsf", ".hta", ".ps1",
        ".jar", ".reg", ".gguf", ".desktop", ".inf", ".safetensors", ".vbe", ".jse", ".wsh", ".ws",
        ".sct", ".cpl", ".msp", ".chm", ".application", ".appimage", ".run",
    };
    size_t length = strlen(name); /* Windows does not see blanks and dots at a name's end */
    while (length && (name[length - 1] == ' ' || name[length - 1] == '.')) length--;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_in(name, length, endings[i])) return true;
    return false;
}

static void look_at(const char *relative, bool regular, void *data) {
    state *package = data;
    listed *known = find(package, relative);
    if (known && regular) {
        char path[PATH_MAX_LENGTH];
        known->there = path_of(path, package->folder, relative);
        if (known->wanted) package->bytes += (double)file_size(path);
    } else if (strcmp(relative, "SHA256SUMS") && strcmp(relative, "SHA256SUMS.sig")) {
        /* Windows, a Mac and people leave files behind; nothing of this is read. */
        bool harmless = regular && strncmp(relative, "runtime/", 8) && !may_run(relative);
        if (!harmless) fault(package, relative, "não faz parte do pacote");
        else if (++package->ignored <= SHOWN) say("  (%s não faz parte do pacote e é ignorado.)\n", relative);
    }
}

/* Of the files that are used here: the page, this machine's programs, the settings, the model or its parts, and the
 * approved material. */
static bool is_started(const char *name, const char *model, bool material) {
    char programs[64];
    const char *part = strstr(model, "-00001-of-");
    snprintf(programs, sizeof programs, "runtime/%s/", target_name());
    for (int i = 0; material && i < MATERIAL_FILES; i++)
        if (!strcmp(name, MATERIAL[i])) return true;
    return !strncmp(name, "runtime/pagina/", 15) || !strncmp(name, programs, strlen(programs))
           || !strcmp(name, "runtime/config.json") || !strcmp(name, model)
           || (part && !strncmp(name, model, (size_t)(part - model) + 1) && ends_in(name, strlen(name), ".gguf"));
}

static void mark_wanted(state *package, bool all) {
    char path[PATH_MAX_LENGTH];
    char *config = path_of(path, package->folder, "runtime/config.json") ? read_whole(path) : NULL;
    char *model = model_in(config);
    bool material = packaged_mode(config) != MODE_FREE;
    for (int i = 0; i < package->count; i++) {
        listed *file = &package->files[i];
        file->wanted = all || !model || is_started(file->name, model, material);
        package->wanted += file->wanted;
    }
    if (model && !find(package, model)) fault(package, model, "não está em SHA256SUMS");
    for (int i = 0; material && i < MATERIAL_FILES; i++)
        if (!find(package, MATERIAL[i])) fault(package, MATERIAL[i], "não está em SHA256SUMS");
    if (!find(package, "runtime/config.json")) fault(package, "runtime/config.json", "não está em SHA256SUMS");
    free(model);
    free(config);
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
        if (!file->wanted) continue;
        if (!file->there) {
            fault(package, file->name, "está faltando");
        } else if (!path_of(path, package->folder, file->name) || !sha256_of_file(path, actual, hashed, package)) {
            if (!was_interrupted()) fault(package, file->name, "não pode ser lido");
        } else if (strcmp(actual, file->sha256)) {
            fault(package, file->name, "foi alterado ou copiado com defeito");
        }
    }
}

bool package_is_whole(const char *folder, bool all) {
    char path[PATH_MAX_LENGTH];
    state *package = calloc(1, sizeof *package);
    char *text = path_of(path, folder, "SHA256SUMS") ? read_whole(path) : NULL;
    if (!package) return false;
    package->folder = folder;
    if (!text) {
        fault(package, "SHA256SUMS", "está faltando ou não pode ser lido: a cópia não foi até o fim");
    } else {
        read_sums(package, text);
        mark_wanted(package, all);
        each_file(folder, look_at, package);
        if (package->ignored > SHOWN) say("  (e mais %d arquivos, também ignorados)\n", package->ignored - SHOWN);
        compare(package);
    }
    bool whole = !package->faults && !was_interrupted();
    int others = package->count - package->wanted;
    if (whole) say("Pacote conferido: %d arquivos, %.0f MB, tudo certo.\n", package->wanted, package->bytes / 1e6);
    if (whole && others) say("Os outros %d arquivos não são usados agora; o autoteste confere todos.\n", others);
    free(text);
    free(package);
    return whole;
}
