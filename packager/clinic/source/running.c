/* See running.h. The lock goes with the program however it ends; what a killed one left behind is taken over. */
#include "running.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "say.h"
#include "server.h"
#include "sha256.h"

enum { LONGEST_START_SECONDS = 1800 };

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
    char name[32], lock[PATH_MAX_LENGTH];
    double began = seconds_now();
    bool said = false;
    sha256_of_bytes((const unsigned char *)recipe, strlen(recipe), hash);
    for (int i = 0; i < 8; i++) snprintf(name + 2 * i, 3, "%02x", hash[i]);
    while (seconds_now() - began < LONGEST_START_SECONDS) {
        int code;
        if (was_interrupted()) return STOPPED;
        if (!private_folder(name, mine->folder) || !named(mine, "trava", lock)) {
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

void publish_place(const place *mine, int port, const char *key) {
    char path[PATH_MAX_LENGTH];
    FILE *file = named(mine, "aberto.json", path) ? open_file(path, "wb") : NULL;
    if (!file) return;
    fprintf(file, "{\"port\": %d, \"key\": \"%s\", \"version\": \"%s\", \"network\": %s}\n", port, key, mine->version,
            mine->everywhere ? "true" : "false");
    fclose(file);
}

void leave_place(const place *mine) { remove_temporary_folder(mine->folder); }
