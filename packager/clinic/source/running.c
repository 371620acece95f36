/* See running.h. The lock goes with the program however it ends; what a killed one left behind is taken over. */
#include "running.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "say.h"
#include "server.h"
#include "sha256.h"

enum { LONGEST_START_SECONDS = 1800, DAY_SECONDS = 86400 };

static bool named(const place *mine, const char *name, char *out) {
    return snprintf(out, PATH_MAX_LENGTH, "%s/%s", mine->folder, name) < PATH_MAX_LENGTH;
}

/* The other one's page, if it answers with the key that it wrote down. */
static bool open_the_other(const place *mine, int *code) {
    char path[PATH_MAX_LENGTH], url[128];
    char *text = named(mine, "aberto.json", path) ? read_whole(path) : NULL;
    char *key = json_text(json_member(text, "key")), *version = json_text(json_member(text, "version"));
    char *network = json_raw(json_member(text, "network"));
    int port = (int)json_number(json_member(text, "port"), 0), status = 0;
    if (port && key) free(ask_page(port, "/estado", key, &status));
    bool answers = status == 200;
    *code = DONE;
    if (answers) {
        snprintf(url, sizeof url, "http://127.0.0.1:%d/#%s", port, key);
        say("O assistente já está aberto neste computador (versão %s). A página dele:  %s\n", version ? version : "?", url);
        if (mine->everywhere && network && !strcmp(network, "false")) {
            complain("Ele foi aberto sem --rede. Encerre-o na janela dele e inicie de novo com --rede.\n");
            *code = WRONG_USE;
        } else if (mine->browser) {
            open_browser(url);
        }
    }
    free(text), free(key), free(version), free(network);
    return answers;
}

int take_place(place *mine, const char *recipe) {
    unsigned char hash[32];
    char lock[PATH_MAX_LENGTH];
    double began = seconds_now();
    bool said = false;
    sha256_of_bytes((const unsigned char *)recipe, strlen(recipe), hash);
    for (int i = 0; i < 8; i++) snprintf(mine->name + 2 * i, 3, "%02x", hash[i]);
    while (seconds_now() - began < LONGEST_START_SECONDS) {
        int code;
        if (was_interrupted()) return STOPPED;
        if (!private_folder(mine->name, mine->folder) || !named(mine, "trava", lock)) {
            complain("Não foi possível criar uma pasta temporária neste computador. Verifique o disco.\n");
            return MACHINE_LACKS;
        }
        if (hold(lock)) {
            static const char *const left[] = {"aberto.json", "server.log"}; /* by one that was killed */
            for (size_t i = 0; i < sizeof left / sizeof *left; i++)
                if (named(mine, left[i], lock)) remove_file(lock);
            return TAKEN;
        }
        if (open_the_other(mine, &code)) return code;
        if (!said) say("O assistente está sendo iniciado em outra janela. Esperando por ele…\n");
        said = true;
        sleep_ms(200);
    }
    complain("O assistente que está sendo iniciado em outra janela não termina. Feche a janela dele e inicie de novo.\n");
    return MACHINE_LACKS;
}

static void write_address(const place *mine) {
    char path[PATH_MAX_LENGTH];
    FILE *file = named(mine, "aberto.json", path) ? open_file(path, "wb") : NULL;
    if (!file) return;
    fprintf(file, "{\"port\": %d, \"key\": \"%s\", \"version\": \"%s\", \"network\": %s}\n", mine->port, mine->key, mine->version,
            mine->everywhere ? "true" : "false");
    fclose(file);
}

void publish_place(place *mine, int port, const char *key) {
    mine->port = port;
    mine->kept = seconds_now();
    snprintf(mine->key, sizeof mine->key, "%s", key);
    write_address(mine);
}

void keep_place(place *mine, bool now) {
    char lock[PATH_MAX_LENGTH], address[PATH_MAX_LENGTH];
    if (!now && seconds_now() - mine->kept < DAY_SECONDS) return;
    mine->kept = seconds_now();
    if (!named(mine, "trava", lock) || !named(mine, "aberto.json", address)) return;
    if (!mine->apart && !still_held(lock) && !(private_folder(mine->name, mine->folder) && hold(lock))) {
        if (!make_temporary_folder(mine->folder)) return;
        mine->apart = true; /* a second one has the place meanwhile: both go on */
    }
    if (mine->apart) return keep_fresh(mine->folder);
    if (!is_file(address)) write_address(mine);
    keep_fresh(lock), keep_fresh(address), keep_fresh(mine->folder);
}

/* What was removed may be another's meanwhile. */
void leave_place(const place *mine) {
    char lock[PATH_MAX_LENGTH];
    if (mine->apart || (named(mine, "trava", lock) && still_held(lock))) remove_temporary_folder(mine->folder);
}
