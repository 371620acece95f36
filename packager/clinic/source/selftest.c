/* Does the model compute here what it computed when it was proven? The same questions are asked, and what it holds for
 * likely as the first token of each answer is compared as numbers. Words are shown and not judged: another processor
 * rounds otherwise, and a small model then chooses another word at a near tie. Whether answers are true is not asked
 * here: the proof and people judge that. */
#include "selftest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "material.h"
#include "say.h"

enum { MOST_QUESTIONS = 256, ANSWER_SECONDS = 600, ABSENT = -20 }; /* log-probability of a token that is not listed */

typedef struct {
    double speeds[MOST_QUESTIONS], apart; /* apart: sum over the tokens compared, nats */
    int asked, sound, equal, compared;
} tally;

static const char *after_blanks(const char *text) { return text + strspn(text, " \r\n\t"); }

/* What the reply tells of the answer's first token. */
static const char *told_of(const char *choice) {
    const char *first = json_item(json_member(json_member(choice, "logprobs"), "content"), 0);
    const char *told = json_member(first, "top_logprobs");
    return json_item(told, 0) ? told : NULL;
}

static double told_for(const char *told, double id) {
    const char *one;
    for (int i = 0; (one = json_item(told, i)); i++)
        if (json_number(json_member(one, "id"), -1) == id) return json_number(json_member(one, "logprob"), ABSENT);
    return ABSENT;
}

static void compare(tally *all, const char *likely, const char *told) {
    const char *one;
    for (int i = 0; (one = json_item(likely, i)); i++, all->compared++)
        all->apart += fabs(told_for(told, json_number(json_member(one, "id"), -1)) - json_number(json_member(one, "logprob"), 0));
}

/* NULL: the answer can be judged. */
static const char *fault_of(const char *answer, const char *likely, const char *told) {
    if (!answer) return "sem resposta do programa";
    if (!*after_blanks(answer)) return "resposta vazia";
    if (strstr(answer, "<|") || strstr(answer, "[INST]")) return "aparecem marcas internas do modelo";
    if (!json_item(likely, 0)) return "a prova deste pacote não traz as probabilidades das primeiras palavras";
    return told ? NULL : "o programa não informa as probabilidades das primeiras palavras";
}

static void show(int number, const char *ask, const char *answer, const char *proven, const char *fault, bool same) {
    say("%s %d. %s\n", fault ? "[falha]" : same ? "[igual]" : "[outras palavras]", number, ask);
    if (fault || !same) say("     Aqui:      %s\n     Na prova:  %s\n", answer ? after_blanks(answer) : "-", proven);
    if (fault) say("     (%s)\n", fault);
}

static void ask_one(const server *running, const char *question, tally *all) {
    int code;
    char *ask = json_text(json_member(question, "ask")), *proven = json_text(json_member(question, "begins"));
    char *body = json_raw(json_member(question, "request"));
    char *reply = body && *body ? ask_server(running, "/v1/chat/completions", body, ANSWER_SECONDS, &code) : NULL;
    const char *choice = json_item(json_member(reply, "choices"), 0);
    char *answer = json_text(json_member(json_member(choice, "message"), "content"));
    const char *likely = json_member(question, "likely"), *told = told_of(choice);
    const char *fault = fault_of(answer, likely, told);
    bool stopped = was_interrupted(); /* by Ctrl-C, which ends the server too: that is no answer to judge */
    bool same = answer && proven && !strncmp(after_blanks(answer), proven, strlen(proven));
    all->speeds[all->asked++] = json_number(json_member(json_member(reply, "timings"), "predicted_per_second"), 0);
    all->sound += !fault;
    all->equal += same;
    if (!fault) compare(all, likely, told);
    if (!stopped) show(all->asked, ask ? ask : "?", answer, proven ? proven : "?", fault, same);
    free(ask), free(proven), free(body), free(reply), free(answer);
}

/* As it is written in Portuguese: 0,10. */
static const char *with_comma(char out[32], int decimals, double value) {
    snprintf(out, 32, "%.*f", decimals, value);
    char *point = strchr(out, '.');
    if (point) *point = ',';
    return out;
}

#define NUMBER(decimals, value) with_comma((char[32]){0}, decimals, value)

/* True: it computes as in the proof. */
static bool say_difference(const tally *all, double limit) {
    double apart = all->compared ? all->apart / all->compared : NAN;
    say("\nPalavras iguais às da prova: %d de %d (outro processador arredonda de outro modo: podem ser outras)\n", all->equal,
        all->asked);
    say("Diferença média nas primeiras palavras prováveis: %s (limite %s)\n",
        all->compared ? NUMBER(2, apart) : "não pôde ser medida", NUMBER(2, limit));
    return all->sound == all->asked && apart <= limit;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int run_selftest(const server *running, const char *proof) {
    tally all = {0};
    const char *questions = json_member(proof, "questions"), *question;
    while (all.asked < MOST_QUESTIONS && (question = json_item(questions, all.asked))) {
        if (!was_interrupted()) ask_one(running, question, &all);
        if (!was_interrupted()) continue;
        say("\nInterrompido.\n");
        return STOPPED;
    }
    if (!all.asked) {
        complain("A prova deste pacote não tem perguntas.\n");
        return NOT_PROVEN;
    }
    qsort(all.speeds, (size_t)all.asked, sizeof *all.speeds, by_size);
    double speed = all.speeds[all.asked / 2], least = json_number(json_member(proof, "min_tokens_per_second"), 0);
    double memory = peak_memory_gb(running->child);
    bool as_proven = say_difference(&all, json_number(json_member(proof, "most_apart_nats"), 0));
    say("Velocidade: %s tokens por segundo (mínimo %s; na prova %s)\n", NUMBER(1, speed), NUMBER(1, least),
        NUMBER(1, json_number(json_member(proof, "tokens_per_second"), 0)));
    say("Memória: %s GB (na prova %s GB)\n", NUMBER(2, memory),
        NUMBER(2, json_number(json_member(proof, "ram_mb"), 0) / 1000));
    if (!as_proven) {
        say("\nREPROVADO: o modelo não funciona aqui como na prova. Não use; informe quem forneceu o pacote.\n");
        return NOT_PROVEN;
    }
    if (speed < least) {
        say("\nREPROVADO: funciona como na prova, mas este computador está lento demais para o modelo. Se outros programas\n"
            "o ocupam agora, feche-os e repita o teste.\n");
        return NOT_PROVEN;
    }
    say("\nAPROVADO: funciona como na prova. O teste não diz se as respostas são corretas: confira-as sempre.\n");
    return DONE;
}

int test_material(const char *folder, const char *config, const char *proof) {
    int count = 0;
    material *of = open_material(folder, config);
    if (!of) return NOT_PROVEN;
    int others = replay_searches(of, proof, &count);
    close_material(of);
    if (!count) {
        complain("A prova deste pacote não tem buscas.\n");
        return NOT_PROVEN;
    }
    say("Buscas no %s, iguais às da prova: %d de %d\n", material_words(config), count - others, count);
    if (!others) return DONE;
    say("\nREPROVADO: a busca não funciona aqui como na prova. Não use; informe quem forneceu o pacote.\n");
    return NOT_PROVEN;
}
