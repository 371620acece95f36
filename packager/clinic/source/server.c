/* See server.h. The command line holds every setting, so that nothing depends on a default of the server. */
#include "server.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "machine.h"
#include "network.h"
#include "package.h"
#include "say.h"
#include "threads.h"

enum { MOST_ARGUMENTS = 64, LOAD_SECONDS = 900, LOG_LINES = 8, MOST_TRIES = 8, PORT_TAKEN = -1, BEGINNING_SECONDS = 120 };

/* The command line; the texts that it had to make are in `made`. Returns how many those are. */
static int command(char **argv, char **made, const char *program, const char *config, int port, int threads) {
    static const char *const settings[][2] = {
        {"--ctx-size", "context"},   {"--predict", "max_answer_tokens"}, {"--temp", "temperature"},
        {"--top-k", "top_k"},        {"--top-p", "top_p"},               {"--min-p", "min_p"},
        {"--repeat-penalty", "repeat_penalty"}, {"--repeat-last-n", "repeat_last_n"},
    };
    static char port_text[16], threads_text[16];
    static const char *const fixed[] = {
        /* The template is the file's own, as it was frozen; no thinking aloud, which nobody asked for in the proof. */
        "--jinja", "--reasoning", "off", "--offline", "--no-slots", "--cors-origins", "localhost",
        /* One conversation at a time with the whole context, and no cache of old ones: memory as it was proven. */
        "--parallel", "1", "--cache-ram", "0", "--log-colors", "off",
        /* Read into memory, not mapped: what is laid out anew for the processor is then held once, not twice. */
        "--load-mode", "none",
    };
    int count = 0, owned = 0;
    snprintf(port_text, sizeof port_text, "%d", port);
    snprintf(threads_text, sizeof threads_text, "%d", threads);
    argv[count++] = (char *)(size_t)program;
    argv[count++] = "--model";
    argv[count++] = made[owned++] = model_in(config);
    argv[count++] = "--host";
    argv[count++] = "127.0.0.1";
    argv[count++] = "--port";
    argv[count++] = port_text;
    argv[count++] = "--threads";
    argv[count++] = threads_text;
    argv[count++] = "--threads-batch";
    argv[count++] = threads_text;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) argv[count++] = (char *)(size_t)fixed[i];
    /* The cache of keys and values as it was proven; llama.cpp has quantized values with flash attention only. */
    char *kv = made[owned++] = json_text(json_member(config, "kv"));
    if (kv && strcmp(kv, "f16")) {
        argv[count++] = "--cache-type-k", argv[count++] = kv;
        argv[count++] = "--cache-type-v", argv[count++] = kv;
        argv[count++] = "--flash-attn", argv[count++] = "on";
    }
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char *value = json_raw(json_member(config, settings[i][1]));
        made[owned++] = value;
        if (!value || !*value) continue;
        argv[count++] = (char *)(size_t)settings[i][0];
        argv[count++] = value;
    }
    argv[count] = NULL;
    return owned;
}

int print_command(const char *folder, const char *config) {
    char program[PATH_MAX_LENGTH], *argv[MOST_ARGUMENTS], *made[MOST_ARGUMENTS];
    if (!find_program(folder, config, folder, program)) return MACHINE_LACKS;
    int owned = command(argv, made, program, config, 0, most_threads());
    for (int i = 0; argv[i]; i++) say("%s\n", argv[i]);
    for (int i = 0; i < owned; i++) free(made[i]);
    return DONE;
}

bool make_key(char *out, int length) {
    static const char letters[] = "abcdefghjkmnpqrstuvwxyz23456789";
    unsigned char byte;
    for (int i = 0; i < length;) {
        if (!random_bytes(&byte, 1)) return false;
        if (byte < 248) out[i++] = letters[byte % 31]; /* 8 * 31: every letter as likely */
    }
    out[length] = 0;
    return true;
}

/* DONE, a code to end with, or PORT_TAKEN. */
static int wait_until_ready(server *running, front *front) {
    double began = seconds_now();
    long status;
    while (seconds_now() - began < LOAD_SECONDS) {
        int code = 0;
        if (was_interrupted()) return STOPPED;
        bool ended = has_ended(running->child, &status);
        free(ask_server(running, "/v1/models", NULL, 5, &code));
        if (code == 401 || (ended && code)) return PORT_TAKEN; /* somebody else's server, who does not know our key */
        if (ended) {
            say_why_it_ended(running, status);
            return MACHINE_LACKS;
        }
        if (code == 200) return DONE;
        if (front) attend(front, 100);
        else sleep_ms(100);
    }
    complain("O modelo não terminou de carregar em %d minutos. Use um computador mais rápido, ou copie a pasta\n"
             "para o disco do computador: o pendrive pode ser lento demais.\n", LOAD_SECONDS / 60);
    return MACHINE_LACKS;
}

static int start_on_a_port(server *running, const char *program, const char *folder, const char *config, front *front) {
    char log[PATH_MAX_LENGTH], *argv[MOST_ARGUMENTS], *made[MOST_ARGUMENTS];
    if (snprintf(log, sizeof log, "%s/server.log", running->temporary) >= (int)sizeof log) return OUR_FAULT;
    if (!make_key(running->key, sizeof running->key - 1) || !(running->port = unused_port())) {
        complain("Este computador não dá uma porta livre ao programa. Reinicie-o e tente de novo.\n");
        return MACHINE_LACKS;
    }
    set_environment("LLAMA_API_KEY", running->key); /* not on the command line, which every user can read */
    int owned = command(argv, made, program, config, running->port, running->threads);
    running->child = start_process(argv, folder, log, NULL);
    for (int i = 0; i < owned; i++) free(made[i]);
    if (running->child) return wait_until_ready(running, front);
    complain("O programa %s não pôde ser iniciado. Um antivírus pode tê-lo bloqueado.\n", program);
    return MACHINE_LACKS;
}

int start_server(server *running, const char *folder, const char *config, const char *temporary, int threads, front *front) {
    char program[PATH_MAX_LENGTH];
    int code = PORT_TAKEN;
    *running = (server){0};
    strcpy(running->temporary, temporary);
    char *chosen = chosen_server(config);
    if (!chosen || !find_program(folder, config, running->temporary, program)) return free(chosen), MACHINE_LACKS;
    say("Programa para este processador: %s\n", chosen);
    free(chosen);
    running->threads = threads ? threads : free_threads();
    say("Carregando o modelo…\n");
    double began = seconds_now();
    for (int tries = 0; code == PORT_TAKEN && tries < MOST_TRIES; tries++) {
        stop_server(running);
        code = start_on_a_port(running, program, folder, config, front);
    }
    if (code == PORT_TAKEN) complain("As portas deste computador são tomadas por outros programas. Reinicie-o.\n");
    if (code == PORT_TAKEN) code = MACHINE_LACKS;
    if (code) stop_server(running);
    running->load_seconds = seconds_now() - began;
    return code;
}

void stop_server(server *running) {
    if (running->child) {
        stop_process(running->child);
        free_process(running->child);
        running->child = NULL;
    }
}

/* It says so itself, and ends with a code that tells nothing. */
static bool lacks_memory(const server *running) {
    static const char *const words[] = {"failed to allocate", "unable to allocate", "bad_alloc", "failed to mmap",
                                        "alloc_tensor_range: failed", "out of memory"};
    char path[PATH_MAX_LENGTH];
    bool found = false;
    if (snprintf(path, sizeof path, "%s/server.log", running->temporary) >= (int)sizeof path) return false;
    char *log = read_whole(path);
    for (size_t i = 0; log && i < sizeof words / sizeof *words; i++) found = found || strstr(log, words[i]);
    free(log);
    return found;
}

void say_why_it_ended(const server *running, long status) {
    char path[PATH_MAX_LENGTH];
    if (died_of_instruction(status))
        complain("\nO processador deste computador não conhece uma instrução de que o programa precisa.\n"
                 "Use um computador mais novo.\n");
    else if (status == -9 || status == 137 || lacks_memory(running))
        complain("\nO sistema encerrou o programa, provavelmente por falta de memória.\n"
                 "Feche outros programas e inicie de novo.\n");
    else
        complain("\nO programa que responde parou sozinho (código %ld). Inicie de novo; se acontecer outra vez,\n"
                 "faça o autoteste e informe as linhas abaixo a quem forneceu o pacote.\n", status);
    if (snprintf(path, sizeof path, "%s/server.log", running->temporary) >= (int)sizeof path) return;
    char *log = read_whole(path), *from = log ? log + strlen(log) : NULL;
    for (int lines = 0; log && from > log && lines <= LOG_LINES; from--) lines += from[-1] == '\n';
    if (log) complain("%s\n", from > log ? from + 1 : log);
    free(log);
}

static bool send_all(long socket, const char *data) {
    long left = (long)strlen(data);
    while (left > 0) {
        long sent = send_bytes(socket, data, left);
        if (sent <= 0) return false;
        data += sent, left -= sent;
    }
    return true;
}

static char *ask(int port, const char *head, const char *body, int timeout_seconds, int *code) {
    long socket = connect_local(port, timeout_seconds), size = 0, room = 1 << 16, got;
    *code = 0;
    if (socket < 0) return NULL;
    char *answer = send_all(socket, head) && send_all(socket, body ? body : "") ? malloc((size_t)room) : NULL;
    while (answer && (got = receive_bytes(socket, answer + size, room - size - 1)) > 0) {
        size += got;
        if (room - size < 2) {
            char *larger = realloc(answer, (size_t)(room *= 2));
            if (!larger) break;
            answer = larger;
        }
    }
    close_socket(socket);
    if (!answer) return NULL;
    answer[size] = 0;
    char *start = strstr(answer, "\r\n\r\n");
    if (!start || sscanf(answer, "HTTP/1.%*d %d", code) != 1) {
        free(answer);
        return NULL;
    }
    memmove(answer, start + 4, strlen(start + 4) + 1);
    return answer;
}

/* HTTP/1.0: the answer comes in one piece and ends with the connection. */
static void write_head(const server *running, const char *path, const char *body, char *head, size_t room) {
    snprintf(head, room, "%s %s HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
             "Content-Type: application/json\r\nContent-Length: %lu\r\nConnection: close\r\n\r\n",
             body ? "POST" : "GET", path, running->key, (unsigned long)(body ? strlen(body) : 0));
}

/* The answer is not needed, and the page is given out meanwhile. */
static void attend_until_read(const server *running, const char *body, front *front) {
    char head[512];
    double began = seconds_now();
    long socket = connect_local(running->port, BEGINNING_SECONDS);
    if (socket < 0) return;
    write_head(running, "/v1/chat/completions", body, head, sizeof head);
    bool waits = send_all(socket, head) && send_all(socket, body);
    while (waits && !was_interrupted() && seconds_now() - began < BEGINNING_SECONDS) {
        waiting one = {.socket = socket, .want_read = true};
        wait_for_sockets(&one, 1, 0);
        waits = !one.can_read;
        if (waits) attend(front, 100);
    }
    close_socket(socket);
}

void read_beginning(server *running, const char *config, front *front) {
    static const char form[] = "{\"messages\":[{\"role\":\"system\",\"content\":%s},{\"role\":\"user\",\"content\":\"\"}],"
                               "\"max_tokens\":1,\"cache_prompt\":true,\"stream\":false}";
    char *system = json_raw(json_member(config, "system"));
    size_t room = sizeof form + (system ? strlen(system) : 0);
    char *body = system && strlen(system) > 2 ? malloc(room) : NULL;
    double began = seconds_now();
    if (body) {
        snprintf(body, room, form, system);
        attend_until_read(running, body, front);
    }
    running->load_seconds += seconds_now() - began; /* nobody is answered before that */
    free(system), free(body);
}

char *ask_server(const server *running, const char *path, const char *body, int timeout_seconds, int *code) {
    char head[512];
    write_head(running, path, body, head, sizeof head);
    return ask(running->port, head, body, timeout_seconds, code);
}

char *ask_page(int port, const char *path, const char *key, int *code) {
    char head[512];
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Chave: %s\r\nConnection: close\r\n\r\n", path, port, key);
    return ask(port, head, NULL, 5, code);
}
