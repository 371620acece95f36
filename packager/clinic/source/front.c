/* See front.h. One thread, sockets that do not block; an answer goes through as it comes. One question at a time: the
 * next one is told so at once, and asks again. */
#include "front.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "network.h"
#include "request.h"
#include "say.h"
#include "visit.h"

enum { FIRST_PORT = 8180, PORTS = 40, VISITS = 64, MOST_BODY = 1 << 20, PIECE = 16384, PATIENCE_SECONDS = 20 };

static const char *const FILES[][3] = {
    {"/", "index.html", "text/html"},
    {"/pagina.js", "pagina.js", "text/javascript"},
    {"/palavras.js", "palavras.js", "text/javascript"},
    {"/elementos.js", "elementos.js", "text/javascript"},
    {"/servidor.js", "servidor.js", "text/javascript"},
    {"/material.js", "material.js", "text/javascript"},
    {"/identificadores.js", "identificadores.js", "text/javascript"},
    {"/retorno.js", "retorno.js", "text/javascript"},
    {"/estilo.css", "estilo.css", "text/css"},
    {"/config.json", "config.json", "application/json"},
};
enum { FILE_COUNT = sizeof FILES / sizeof *FILES };

/* What the page may ask for, and what llama-server calls it. */
static const char *const QUESTIONS[][2] = {
    {"/perguntar", "/v1/chat/completions"},
    {"/contar", "/v1/chat/completions/input_tokens"},
};

struct front {
    long listener;
    int port, server_port;
    bool everywhere;
    char key[64], server_key[64];
    char *files[FILE_COUNT];
    material *material; /* not owned */
    answer_mode mode;
    visit visits[VISITS];
    double waited_until; /* when it was last looked for what they send */
};

front *open_front(const char *folder, bool everywhere, const char *key) {
    front *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->everywhere = everywhere;
    snprintf(made->key, sizeof made->key, "%s", key);
    for (int i = 0; i < VISITS; i++) made->visits[i].client = -1;
    for (int i = 0; i < FILE_COUNT; i++) {
        char path[PATH_MAX_LENGTH];
        if (snprintf(path, sizeof path, "%s/runtime/pagina/%s", folder, FILES[i][1]) < (int)sizeof path)
            made->files[i] = read_whole(path);
    }
    for (int port = FIRST_PORT; port < FIRST_PORT + PORTS; port++) {
        made->listener = listen_on(port, everywhere);
        made->port = port;
        if (made->listener >= 0) return made;
    }
    complain("As portas %d a %d deste computador estão ocupadas. Reinicie o computador e tente de novo.\n", FIRST_PORT,
             FIRST_PORT + PORTS - 1);
    free(made);
    return NULL;
}

int port_of(const front *front) { return front->port; }

void set_server(front *front, int port, const char *key) {
    front->server_port = port;
    snprintf(front->server_key, sizeof front->server_key, "%s", key);
}

void set_material(front *front, material *of, answer_mode mode) {
    front->material = of;
    front->mode = mode;
}

static bool send_whole(long socket, const char *data, size_t size) {
    while (size) {
        long sent = send_bytes(socket, data, (long)size);
        if (sent <= 0) return false;
        data += sent, size -= (size_t)sent;
    }
    return true;
}

static bool is_answering_another(const front *front) {
    for (int i = 0; i < VISITS; i++)
        if (front->visits[i].client >= 0 && front->visits[i].asks) return true;
    return false;
}

bool is_in_use(const front *front) {
    for (int i = 0; i < VISITS; i++)
        if (front->visits[i].client >= 0 && front->visits[i].server >= 0) return true;
    return false;
}

/* Hand the question on: nothing of the browser's head goes with it. */
static void hand_on(front *front, visit *one, const char *path, bool asks) {
    char head[512];
    if (asks && is_answering_another(front)) return answer_error(one, 503, "busy");
    one->server = front->server_port ? connect_local(front->server_port, PATIENCE_SECONDS) : -1;
    if (one->server < 0) return answer_error(one, 503, "loading");
    size_t size = (size_t)one->asked.length;
    int length = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
                          "Content-Type: application/json\r\nContent-Length: %lu\r\nConnection: close\r\n\r\n",
                          path, front->server_key, (unsigned long)size);
    if (!send_whole(one->server, head, (size_t)length) || !send_whole(one->server, one->in + one->head, size)) {
        close_socket(one->server);
        one->server = -1;
        return answer_error(one, 502, "gone");
    }
    do_not_block(one->server);
    one->answering = true;
    one->asks = asks;
}

static void answer_state(const front *front, visit *one) {
    bool waits = !front->server_port && front->mode != MODE_APPROVED; /* there the model is not needed */
    const char *state = waits ? "loading" : is_answering_another(front) ? "busy" : "free";
    char body[64], mode[32] = "";
    if (front->material) snprintf(mode, sizeof mode, ",\"mode\":\"%s\"", mode_key(front->mode));
    snprintf(body, sizeof body, "{\"state\":\"%s\"%s}", state, mode);
    answer(one, 200, "application/json", body);
}

/* What the approved material says, or holds of a model's words: computed here, in a moment. */
static void answer_from_material(front *front, visit *one, bool held) {
    size_t size = (size_t)one->asked.length;
    char *body = malloc(size + 1);
    if (!body) return answer_error(one, 500, "refused");
    memcpy(body, one->in + one->head, size);
    body[size] = 0;
    char *said = held ? hold_against_material(front->material, body) : find_in_material(front->material, body, front->mode);
    free(body);
    if (said) answer(one, 200, "application/json", said);
    else answer_error(one, 400, "refused");
    free(said);
}

static void decide(front *front, visit *one) {
    const request *asked = &one->asked;
    served by = {front->port, front->everywhere, front->key};
    bool get = !strcmp(asked->method, "GET"), post = !strcmp(asked->method, "POST");
    for (int i = 0; get && i < FILE_COUNT; i++) {
        if (strcmp(asked->path, FILES[i][0])) continue;
        int status = refusal(asked, &by, false);
        if (status) return answer_error(one, status, "refused");
        if (!front->files[i]) return answer_error(one, 404, "missing");
        return answer(one, 200, FILES[i][2], front->files[i]);
    }
    int status = refusal(asked, &by, true);
    if (status) return answer_error(one, status, status == 401 ? "key" : "refused");
    if (get && !strcmp(asked->path, "/estado")) return answer_state(front, one);
    bool searched = post && !strcmp(asked->path, "/buscar"), held = post && !strcmp(asked->path, "/conferir");
    if (front->material && (searched || held)) return answer_from_material(front, one, held);
    if (post && front->mode == MODE_APPROVED) return answer_error(one, 403, "mode"); /* the model is silent */
    for (size_t i = 0; post && i < sizeof QUESTIONS / sizeof *QUESTIONS; i++)
        if (!strcmp(asked->path, QUESTIONS[i][0])) return hand_on(front, one, QUESTIONS[i][1], i == 0);
    answer_error(one, 404, "unknown");
}

/* More of what is asked. False: it is over. */
static bool listen_to(front *front, visit *one) {
    char piece[PIECE];
    long got = receive_bytes(one->client, piece, sizeof piece);
    if (got < 0) return would_block();
    if (!got) return false; /* it went away; a question that is being answered is stopped with it */
    if (one->answering) return true;
    if (!keep_bytes(one, piece, (size_t)got)) return false;
    if (!one->head) {
        int head = read_request(one->in, one->got, &one->asked);
        if (head < 0) return answer_error(one, 400, "refused"), true;
        if (!head) return true;
        one->head = (size_t)head;
        if (strcmp(one->asked.method, "POST")) one->asked.length = 0;
        if (one->asked.length < 0) return answer_error(one, 411, "refused"), true;
        if (one->asked.length > MOST_BODY) return answer_error(one, 413, "refused"), true;
    }
    one->whole = one->got >= one->head + (size_t)one->asked.length;
    if (one->whole) decide(front, one);
    return true;
}

/* More of the server's answer, one piece at a time: a slow browser holds it up, not this program's memory. */
static void carry(visit *one) {
    if (!one->out) one->out = malloc(PIECE);
    long got = one->out ? receive_bytes(one->server, one->out, PIECE) : -1;
    if (got < 0 && one->out && would_block()) return;
    one->out_sent = 0, one->out_size = got > 0 ? (size_t)got : 0;
    one->since = seconds_now(); /* the browser's time to take this piece begins, however long the server thought */
    if (got > 0) return;
    close_socket(one->server);
    one->server = -1;
}

static void welcome(front *front) {
    long client;
    while ((client = accept_from(front->listener)) >= 0) {
        visit *place = NULL;
        for (int i = 0; i < VISITS && !place; i++)
            if (front->visits[i].client < 0) place = &front->visits[i];
        if (place) *place = (visit){.client = client, .server = -1, .since = seconds_now()};
        else close_socket(client);
    }
}

/* The time in which this program did something else, as searching for another, is not the visitors' own. */
static void count_only_waiting(front *front) {
    double now = seconds_now(), away = now - front->waited_until;
    for (int i = 0; i < VISITS; i++) {
        visit *one = &front->visits[i];
        one->since = one->since + away < now ? one->since + away : now;
    }
}

void attend(front *front, int milliseconds) {
    waiting all[1 + 2 * VISITS] = {{.socket = front->listener, .want_read = true}};
    visit *whose[1 + 2 * VISITS] = {NULL};
    int count = 1;
    for (int i = 0; i < VISITS; i++) {
        visit *one = &front->visits[i];
        if (one->client < 0) continue;
        whose[count] = one;
        all[count++] = (waiting){.socket = one->client, .want_read = true, .want_write = is_sending(one)};
        if (one->server < 0 || is_sending(one)) continue;
        whose[count] = one;
        all[count++] = (waiting){.socket = one->server, .want_read = true};
    }
    count_only_waiting(front);
    wait_for_sockets(all, count, milliseconds);
    double now = front->waited_until = seconds_now();
    for (int i = 1; i < count; i++) {
        visit *one = whose[i];
        bool goes_on = one->client >= 0;
        if (goes_on && all[i].socket == one->server && all[i].can_read) carry(one);
        if (goes_on && all[i].socket == one->client && all[i].can_read) goes_on = listen_to(front, one);
        if (goes_on && all[i].socket == one->client && is_sending(one)) goes_on = send_on(one);
        if (goes_on && one->answering && one->server < 0 && !is_sending(one)) goes_on = lingers(one); /* all is said */
        /* Somebody who asks nothing, or takes nothing, does not keep a place. A server may think for long. */
        bool idle = !one->answering || is_sending(one) || one->leaving;
        if (goes_on && idle && now - one->since > PATIENCE_SECONDS) goes_on = false;
        if (!goes_on && one->client >= 0) end_visit(one);
    }
    if (all[0].can_read) welcome(front);
}

void close_front(front *front) {
    for (int i = 0; i < VISITS; i++)
        if (front->visits[i].client >= 0) end_visit(&front->visits[i]);
    for (int i = 0; i < FILE_COUNT; i++) free(front->files[i]);
    close_socket(front->listener);
    free(front);
}
