/* The clinic's own program: check the machine and the package, start the server, open the page; or test itself.
 *
 *     clinica iniciar|autoteste|conferir --pasta FOLDER [--rede] [--sem-navegador] [--chave FILE] [--modo MODE]
 *     clinica procurar --pasta FOLDER     questions of standard input -> what is found for each (for tests)
 *     clinica versao      which one it is, and that it runs
 *
 * Input: a bundle (docs/bundle.md). Output: words in Portuguese and an exit code of say.h. It needs nothing that is
 * not in the bundle, and runs on any 64-bit processor, so that it can say what is missing. */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "key.h"
#include "machine.h"
#include "material.h"
#include "network.h"
#include "platform.h"
#include "say.h"
#include "selftest.h"
#include "running.h"
#include "server.h"
#include "threads.h"
#include "versions.h"

#ifndef CLINICA_VERSION /* stated by packager/clinic/starter.py */
#define CLINICA_VERSION "?"
#endif

typedef struct {
    const char *command, *key, *mode;
    char folder[PATH_MAX_LENGTH];
    bool everywhere, browser;
} request_line;

enum { PAGE_KEY = 12, MOST_RESTARTS = 3 };

static const double LONG_ENOUGH_SECONDS = 5; /* a server that ends sooner would only end again */
static const double SHORT_LOAD_SECONDS = 15;  /* one that takes longer to load keeps the threads it has */

static int misused(void) {
    complain("Uso: iniciar [--rede] [--sem-navegador] [--chave ARQUIVO] [--modo aprovado|assistido]\n"
             "  --rede            outros computadores da rede também podem usar a página\n"
             "  --sem-navegador   não abrir o navegador\n"
             "  --chave ARQUIVO   conferir a assinatura do pacote com esta chave pública\n"
             "  --modo MODO       responder num modo mais restrito que o do pacote\n");
    return WRONG_USE;
}

static bool understand(request_line *asked, int argc, char **argv) {
    static const char *const commands[] = {"iniciar", "autoteste", "conferir", "procurar", "comando"};
    const char *folder = ".";
    asked->browser = true;
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i])) asked->command = commands[i];
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--rede")) asked->everywhere = true;
        else if (!strcmp(argv[i], "--sem-navegador")) asked->browser = false;
        else if (!strcmp(argv[i], "--pasta") && i + 1 < argc) folder = argv[++i];
        else if (!strcmp(argv[i], "--chave") && i + 1 < argc) asked->key = argv[++i];
        else if (!strcmp(argv[i], "--modo") && i + 1 < argc) asked->mode = argv[++i];
        else return false;
    }
    return asked->command && absolute_path(folder, asked->folder);
}

static char *text_in(const char *folder, const char *name) {
    char path[PATH_MAX_LENGTH];
    return snprintf(path, sizeof path, "%s/runtime/%s", folder, name) < (int)sizeof path ? read_whole(path) : NULL;
}

typedef struct {
    int port;
    char key[PAGE_KEY + 1];
} address;

static void say_address(const char *machine, void *data) {
    const address *page = data;
    say("    http://%s:%d/#%s\n", machine, page->port, page->key);
}

static void welcome(const request_line *asked, address *page, char *url, size_t room) {
    snprintf(url, room, "http://127.0.0.1:%d/#%s", page->port, page->key);
    say("\nPronto. A página abre no navegador. Se não abrir, copie para ele este endereço inteiro:\n\n    %s\n\n", url);
    if (asked->everywhere) {
        say("ATENÇÃO: quem tiver o endereço pode usar a página nesta rede. Nos outros aparelhos:\n");
        each_address(say_address, page);
    }
    say("NÃO FECHE ESTA JANELA enquanto usar a página: ela é o programa.\n"
        "Para encerrar, tecle Ctrl+C ou feche esta janela.\n");
}

/* Until it is interrupted: without a model there is no server that could end. */
static int attend_material(front *front, place *mine) {
    while (!was_interrupted()) {
        attend(front, 200);
        keep_place(mine, false);
    }
    return DONE;
}

/* The server once more, and what it had read before. An exit code of say.h. */
static int start_again(server *running, int threads, front *front, place *mine, const char *folder, const char *config) {
    set_server(front, 0, "");
    stop_server(running);
    keep_place(mine, true); /* the server writes there */
    int code = start_server(running, folder, config, mine->folder, threads, front);
    if (code) return code;
    read_beginning(running, config, front);
    set_server(front, running->port, running->key);
    say("Pronto de novo.\n");
    return DONE;
}

/* Until it is interrupted, or the server has ended too often. */
static int attend_page(server *running, front *front, place *mine, const char *folder, const char *config) {
    int restarts = 0;
    double since = seconds_now();
    long status = 0;
    watch seen = {0};
    while (!was_interrupted()) {
        int before = running->threads, threads = before;
        attend(front, 200);
        if (was_interrupted()) break; /* by Ctrl-C, which ends the server too: that is no crash */
        keep_place(mine, false);
        if (has_ended(running->child, &status)) {
            say_why_it_ended(running, status);
            if (seconds_now() - since <= LONG_ENOUGH_SECONDS && ++restarts >= MOST_RESTARTS) return OUR_FAULT;
            say("Iniciando-o de novo. A conversa continua na página.\n");
        } else {
            threads = changed_threads(&seen, running->child, running->threads, is_in_use(front));
            if (!threads || running->load_seconds > SHORT_LOAD_SECONDS) continue;
            say("%s Iniciando o modelo de novo com %d de %d núcleos.\n", threads < running->threads
                ? "Outros programas ocupam este computador." : "Este computador está livre de novo.", threads, physical_cores());
        }
        int code = start_again(running, threads, front, mine, folder, config);
        if (code && code != STOPPED && threads != before) { /* other programs may have taken what it needs, for a moment */
            say("Não deu certo. Iniciando-o como antes.\n");
            code = start_again(running, before, front, mine, folder, config);
        }
        if (code) return code == STOPPED ? DONE : code;
        since = seconds_now(), seen = (watch){0};
    }
    return DONE;
}

/* The page with a server behind it, or without one where the model is silent. */
static int serve_with(front *front, const request_line *asked, place *mine, const char *folder, const char *config,
                      address *page, answer_mode mode) {
    server running = {0};
    char url[64];
    int code = mode == MODE_APPROVED ? DONE : start_server(&running, folder, config, mine->folder, 0, front);
    if (code) return code;
    if (mode != MODE_APPROVED) read_beginning(&running, config, front);
    if (was_interrupted()) return stop_server(&running), STOPPED;
    set_server(front, running.port, running.key);
    publish_place(mine, page->port, page->key);
    welcome(asked, page, url, sizeof url);
    if (asked->browser) open_browser(url);
    code = mode == MODE_APPROVED ? attend_material(front, mine) : attend_page(&running, front, mine, folder, config);
    stop_server(&running);
    if (!code) say("\nEncerrado. Nada do que foi escrito ficou guardado.\n");
    return code;
}

static int serve(const request_line *asked, place *mine, const char *folder, const char *config, answer_mode mode) {
    address page = {0};
    material *material = mode == MODE_FREE ? NULL : open_material(folder, config);
    if (mode != MODE_FREE && !material) return NOT_PROVEN;
    front *front = make_key(page.key, PAGE_KEY) ? open_front(folder, asked->everywhere, page.key) : NULL;
    int code = MACHINE_LACKS;
    if (front) {
        if (material) say("Modo %s.\n", mode_words(mode, config));
        set_material(front, material, mode);
        page.port = port_of(front);
        code = serve_with(front, asked, mine, folder, config, &page, mode);
        close_front(front);
    }
    close_material(material);
    return code == STOPPED ? DONE : code;
}

static int test_model(const char *folder, const char *config, const char *proof) {
    server running;
    char temporary[PATH_MAX_LENGTH];
    if (!make_temporary_folder(temporary)) return MACHINE_LACKS;
    int code = start_server(&running, folder, config, temporary, 0, NULL);
    if (!code) {
        say("Fazendo as perguntas da prova…\n\n");
        code = run_selftest(&running, proof);
        stop_server(&running);
    }
    remove_temporary_folder(temporary);
    return code;
}

static int test(const char *folder, const char *config, answer_mode mode) {
    char *proof = text_in(folder, "prova.json");
    int code = mode == MODE_FREE ? DONE : test_material(folder, config, proof);
    if (!code && mode != MODE_APPROVED) code = test_model(folder, config, proof);
    else if (!code) say("\nAPROVADO: a busca funciona como na prova. Neste modo o modelo não responde, e não foi testado.\n");
    free(proof);
    return code;
}

static int run_chosen(const request_line *asked, place *mine, const char *key) {
    char chosen[PATH_MAX_LENGTH];
    answer_mode mode;
    bool starts = !strcmp(asked->command, "iniciar");
    if (!choose_package(asked->folder, key, !starts, chosen)) {
        if (was_interrupted()) {
            say("Interrompido.\n");
            return STOPPED;
        }
        complain("\nNenhum pacote aqui está como foi feito, e nenhum será usado. Copie a pasta de novo a partir do original.\n");
        return NOT_PROVEN;
    }
    if (!strcmp(asked->command, "conferir")) return DONE;
    char *config = text_in(chosen, "config.json");
    if (!config) return OUR_FAULT;
    bool allowed = choose_mode(config, asked->mode, &mode);
    bool other = strcmp(chosen, asked->folder); /* a newer one may need more */
    if (!allowed || (other && !machine_suffices(chosen, config, mode != MODE_APPROVED))) {
        free(config);
        return allowed ? MACHINE_LACKS : WRONG_USE;
    }
    char *title = json_text(json_member(config, "title")), *version = json_text(json_member(config, "version"));
    mine->version = version ? version : "?";
    say("%s, versão %s\n", title ? title : "?", mine->version);
    int code = starts ? serve(asked, mine, chosen, config, mode) : test(chosen, config, mode);
    free(title), free(version), free(config);
    return code;
}

/* The processor and the memory first, in a moment; then gigabytes are read. One that runs already has the memory. */
static int act(const request_line *asked) {
    place mine = {.everywhere = asked->everywhere, .browser = asked->browser};
    char key[KEY_TEXT], *text = asked->key ? read_whole(asked->key) : NULL;
    if (asked->key && !key_of_text(text, key)) {
        complain(text ? "%s não é uma chave pública ed25519 (uma linha que começa com ssh-ed25519).\n"
                      : "Não há um arquivo de chave em %s.\n", asked->key);
        return WRONG_USE;
    }
    free(text);
    char *config = text_in(asked->folder, "config.json"), *recipe = json_text(json_member(config, "recipe"));
    bool starts = !strcmp(asked->command, "iniciar"), checks = !strcmp(asked->command, "conferir");
    if (!strcmp(asked->command, "comando")) return config ? print_command(asked->folder, config) : OUR_FAULT;
    answer_mode mode = MODE_FREE;
    if (config && !choose_mode(config, asked->mode, &mode)) {
        free(recipe), free(config);
        return WRONG_USE;
    }
    int code = starts && recipe ? take_place(&mine, recipe) : TAKEN;
    if (code == TAKEN) {
        bool fits = !config || checks || machine_suffices(asked->folder, config, mode != MODE_APPROVED);
        code = fits ? run_chosen(asked, &mine, asked->key ? key : NULL) : MACHINE_LACKS;
        if (starts && recipe) leave_place(&mine);
    }
    free(recipe), free(config);
    return code;
}

static int rank_questions(const char *folder) {
    material *of = open_material(folder, NULL);
    int code = of ? rank_lines(of) : NOT_PROVEN;
    close_material(of);
    return code;
}

int main(int argc, char **argv) {
    request_line asked = {0};
    argv = utf8_arguments(&argc, argv);
    if (argc == 2 && (!strcmp(argv[1], "versao") || !strcmp(argv[1], "--version"))) {
        say("clinica %s (%s)\n", CLINICA_VERSION, target_name());
        return DONE;
    }
    if (!understand(&asked, argc, argv)) return misused();
    if (!strcmp(asked.command, "procurar")) return rank_questions(asked.folder);
    start_network();
    catch_interrupts();
    return act(&asked);
}
