/* The clinic's own program: check the machine and the package, start the server, open the page; or test itself.
 *
 *     clinica iniciar|autoteste|conferir --pasta FOLDER [--rede] [--sem-navegador] [--chave FILE]
 *     clinica versao      nothing but to show that it runs
 *
 * Input: a bundle (docs/bundle.md). Output: words in Portuguese and an exit code of say.h. It needs nothing that is
 * not in the bundle, and runs on any 64-bit processor, so that it can say what is missing. */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "package.h"
#include "platform.h"
#include "say.h"
#include "selftest.h"
#include "server.h"

typedef struct {
    const char *command, *key;
    char folder[PATH_MAX_LENGTH];
    bool everywhere, browser;
} request;

static int port_shown;

static int misused(void) {
    complain("Uso: iniciar [--rede] [--sem-navegador] [--chave ARQUIVO]\n"
             "  --rede            outros computadores da rede também podem usar a página\n"
             "  --sem-navegador   não abrir o navegador\n"
             "  --chave ARQUIVO   conferir a assinatura do pacote com esta chave pública\n");
    return WRONG_USE;
}

static bool understand(request *asked, int argc, char **argv) {
    static const char *const commands[] = {"iniciar", "autoteste", "conferir"};
    const char *folder = ".";
    asked->browser = true;
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i])) asked->command = commands[i];
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--rede")) asked->everywhere = true;
        else if (!strcmp(argv[i], "--sem-navegador")) asked->browser = false;
        else if (!strcmp(argv[i], "--pasta") && i + 1 < argc) folder = argv[++i];
        else if (!strcmp(argv[i], "--chave") && i + 1 < argc) asked->key = argv[++i];
        else return false;
    }
    return asked->command && absolute_path(folder, asked->folder);
}

static char *text_in(const char *folder, const char *name) {
    char path[PATH_MAX_LENGTH];
    return snprintf(path, sizeof path, "%s/runtime/%s", folder, name) < (int)sizeof path ? read_whole(path) : NULL;
}

static void say_address(const char *address) { say("    http://%s:%d\n", address, port_shown); }

static int serve(const request *asked, const char *folder, const char *config) {
    server running;
    int code = start_server(&running, folder, config, asked->everywhere);
    if (code) return code == STOPPED ? DONE : code;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", running.port);
    say("\nPronto. Abra no navegador:  %s\n", url);
    if (asked->everywhere) {
        port_shown = running.port;
        say("ATENÇÃO: qualquer aparelho desta rede pode usar a página, sem senha. Nos outros aparelhos:\n");
        each_address(say_address);
    }
    say("Para encerrar, tecle Ctrl+C ou feche esta janela.\n");
    if (asked->browser) open_browser(url);
    long status = 0;
    while (!was_interrupted() && !has_ended(running.child, &status)) sleep_ms(200);
    if (!was_interrupted()) {
        say_why_it_ended(&running, status);
        code = OUR_FAULT;
    }
    stop_server(&running);
    if (!code) say("\nEncerrado. Nada do que foi escrito ficou guardado.\n");
    return code;
}

static int test(const char *folder, const char *config) {
    server running;
    char *proof = text_in(folder, "prova.json");
    int code = start_server(&running, folder, config, false);
    if (!code) {
        say("Fazendo as perguntas da prova…\n\n");
        code = run_selftest(&running, proof);
        stop_server(&running);
    }
    free(proof);
    return code;
}

/* The processor and the memory first, in a moment; then gigabytes are read. */
static int act(const request *asked) {
    char chosen[PATH_MAX_LENGTH];
    char *config = text_in(asked->folder, "config.json");
    bool fits = !config || !strcmp(asked->command, "conferir") || machine_suffices(asked->folder, config);
    free(config);
    if (!fits) return MACHINE_LACKS;
    if (!newest_whole(asked->folder, asked->key, chosen)) {
        if (was_interrupted()) {
            say("Interrompido.\n");
            return STOPPED;
        }
        complain("\nO pacote não está como foi feito, e não será usado. Copie a pasta de novo a partir do original.\n");
        return NOT_PROVEN;
    }
    if (!strcmp(asked->command, "conferir")) return DONE;
    if (!(config = text_in(chosen, "config.json"))) return OUR_FAULT;
    if (strcmp(chosen, asked->folder) && !machine_suffices(chosen, config)) { /* a newer one may need more */
        free(config);
        return MACHINE_LACKS;
    }
    char *title = json_text(json_member(config, "title")), *version = json_text(json_member(config, "version"));
    say("%s, versão %s\n", title ? title : "?", version ? version : "?");
    int code = !strcmp(asked->command, "autoteste") ? test(chosen, config) : serve(asked, chosen, config);
    free(title), free(version), free(config);
    return code;
}

int main(int argc, char **argv) {
    request asked = {0};
    argv = utf8_arguments(&argc, argv);
    if (argc == 2 && !strcmp(argv[1], "versao")) return DONE;
    if (!understand(&asked, argc, argv)) return misused();
    start_network();
    catch_interrupts();
    return act(&asked);
}
