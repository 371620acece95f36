/* See machine.h. */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "json.h"
#include "platform.h"
#include "say.h"

static const double SPARE_DISK_GB = 0.05;

static const char *programs_here(const char *config) {
    return json_member(json_member(config, "targets"), target_name());
}

/* What one of them needs and this processor lacks, separated by commas. */
static void lacking(const char *program, char *out, size_t room) {
    const char *features = json_member(program, "cpu_features"), *one;
    *out = 0;
    for (int i = 0; (one = json_item(features, i)); i++) {
        char *name = json_text(one);
        if (name && !cpu_has(name) && strlen(out) + strlen(name) + 3 < room) {
            if (*out) strcat(out, ", ");
            strcat(out, name);
        }
        free(name);
    }
}

char *chosen_server(const char *config) {
    const char *programs = programs_here(config), *one;
    char missing[256];
    for (int i = 0; (one = json_item(programs, i)); i++) {
        lacking(one, missing, sizeof missing);
        if (!*missing) return json_text(json_member(one, "program"));
    }
    return NULL;
}

static bool cpu_suffices(const char *config) {
    const char *programs = programs_here(config), *one, *least = NULL;
    char missing[256], *chosen = chosen_server(config);
    bool suffices = chosen != NULL;
    free(chosen);
    if (suffices) return true;
    for (int i = 0; (one = json_item(programs, i)); i++) least = one;
    lacking(least, missing, sizeof missing);
    complain("O processador deste computador é antigo demais: faltam as instruções %s, que os processadores\n"
             "têm desde cerca de 2009. Use outro computador.\n", missing);
    return false;
}

static bool memory_suffices(const char *config, bool model) {
    double need = json_number(json_member(config, "material_ram_mb"), 0) / 1000, total = memory_total_gb(), available = memory_available_gb();
    if (model) need += json_number(json_member(config, "needed_ram_mb"), 0) / 1000;
    if (total > 0 && total < need) {
        complain("Memória insuficiente: este computador tem %.1f GB e são precisos %.1f GB.\n"
                 "Use um computador com mais memória.\n", total, need);
        return false;
    }
    if (available > 0 && available < need) {
        complain("Pouca memória livre: há %.1f GB e são precisos %.1f GB.\n"
                 "Feche outros programas e inicie de novo.\n", available, need);
        return false;
    }
    return true;
}

static bool in_package(const char *folder, const char *config, char *program) {
    char *name = chosen_server(config);
    bool fits = name && snprintf(program, PATH_MAX_LENGTH, "%s/runtime/%s/%s", folder, target_name(), name) < PATH_MAX_LENGTH;
    free(name);
    return fits;
}

static bool disk_suffices(const char *folder, const char *config, bool model) {
    char program[PATH_MAX_LENGTH], temporary[PATH_MAX_LENGTH];
    bool runs = !model || (in_package(folder, config, program) && can_execute(program));
    double wanted = SPARE_DISK_GB + (runs ? 0 : (double)file_size(program) / 1e9);
    if (!make_temporary_folder(temporary)) {
        complain("Não foi possível criar uma pasta temporária neste computador. Verifique o disco.\n");
        return false;
    }
    double disk = disk_free_gb(temporary);
    remove_temporary_folder(temporary);
    if (disk >= wanted) return true;
    complain("Disco quase cheio: há %.0f MB livres e são precisos %.0f MB. Apague o que não usa e inicie de novo.\n",
             disk * 1000, wanted * 1000);
    return false;
}

bool machine_suffices(const char *folder, const char *config, bool model) {
    if (model && !programs_here(config)) {
        complain("Este pacote não traz o programa para este tipo de computador (%s).\n"
                 "Com o Ollama instalado ele ainda pode ser usado: veja LEIA-ME.txt.\n", target_name());
        return false;
    }
    if (model && !cpu_suffices(config)) return false;
    return memory_suffices(config, model) && disk_suffices(folder, config, model);
}

static bool copy_file(const char *from, const char *to) {
    static char block[1 << 16];
    FILE *in = open_file(from, "rb"), *out = open_file(to, "wb");
    bool fine = in && out;
    for (size_t got; fine && (got = fread(block, 1, sizeof block, in));) fine = fwrite(block, 1, got, out) == got;
    fine = fine && !ferror(in);
    if (in) fclose(in);
    if (out) fine = !fclose(out) && fine;
    return fine;
}

bool find_program(const char *folder, const char *config, const char *temporary, char *program) {
    char copy[PATH_MAX_LENGTH];
    if (!in_package(folder, config, program)) return false;
    if (can_execute(program)) return true;
    if (snprintf(copy, sizeof copy, "%s/llama-server%s", temporary, program_suffix()) >= (int)sizeof copy) return false;
    if (!copy_file(program, copy) || !make_executable(copy) || !can_execute(copy)) {
        complain("O programa não pode ser executado a partir de %s, nem de uma cópia em %s.\n"
                 "Copie a pasta inteira para o disco do computador e inicie dali.\n", folder, temporary);
        return false;
    }
    strcpy(program, copy);
    return true;
}
