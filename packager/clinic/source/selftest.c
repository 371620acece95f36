/* Does the model compute here what it computed when it was proven? The same questions with the likeliest token each time,
 * and the same words must come. Whether they are true is not asked here: the proof and people judge that. */
#include "selftest.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "material.h"
#include "say.h"

enum { MOST_QUESTIONS = 256, ANSWER_SECONDS = 600 };

static const char *after_blanks(const char *text) { return text + strspn(text, " \r\n\t"); }

/* NULL if it computes as in the proof, or what is otherwise. */
static const char *differs(const char *answer, const char *proven) {
    if (!*after_blanks(answer)) return "resposta vazia";
    if (strstr(answer, "<|") || strstr(answer, "[INST]")) return "aparecem marcas internas do modelo";
    return strncmp(after_blanks(answer), proven, strlen(proven)) ? "não são as palavras da prova" : NULL;
}

static void show(int number, const char *ask, const char *answer, const char *proven, const char *fault) {
    say("%s %d. %s\n", fault ? "[difere]" : "[igual] ", number, ask);
    if (!fault) return;
    say("     Aqui:      %s\n     Na prova:  %s\n     (%s)\n", answer ? after_blanks(answer) : "-", proven, fault);
}

/* False: there is no answer at all. */
static bool ask_one(const server *running, const char *question, int number, double *speed, bool *same) {
    int code;
    char *ask = json_text(json_member(question, "ask")), *proven = json_text(json_member(question, "begins"));
    char *body = json_raw(json_member(question, "request"));
    char *reply = body && *body ? ask_server(running, "/v1/chat/completions", body, ANSWER_SECONDS, &code) : NULL;
    const char *choice = json_item(json_member(reply, "choices"), 0);
    char *answer = json_text(json_member(json_member(choice, "message"), "content"));
    const char *fault = !answer ? "sem resposta do programa" : differs(answer, proven ? proven : "");
    bool answered = answer && *after_blanks(answer);
    *speed = json_number(json_member(json_member(reply, "timings"), "predicted_per_second"), 0);
    *same = !fault;
    show(number, ask ? ask : "?", answer, proven ? proven : "?", fault);
    free(ask), free(proven), free(body), free(reply), free(answer);
    return answered;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int run_selftest(const server *running, const char *proof) {
    double speeds[MOST_QUESTIONS];
    int count = 0, answered = 0, equal = 0;
    const char *questions = json_member(proof, "questions"), *question;
    while (count < MOST_QUESTIONS && (question = json_item(questions, count))) {
        bool same;
        if (was_interrupted()) return STOPPED;
        answered += ask_one(running, question, count + 1, &speeds[count], &same);
        equal += same;
        count++;
    }
    if (!count) {
        complain("A prova deste pacote não tem perguntas.\n");
        return NOT_PROVEN;
    }
    qsort(speeds, (size_t)count, sizeof *speeds, by_size);
    double speed = speeds[count / 2], least = json_number(json_member(proof, "min_tokens_per_second"), 0);
    double memory = peak_memory_gb(running->child);
    say("\nIguais às da prova:  %d de %d\n", equal, count);
    say("Velocidade:          %.1f tokens por segundo (mínimo %.1f; na prova %.1f)\n", speed, least,
        json_number(json_member(proof, "tokens_per_second"), 0));
    say("Memória:             %.2f GB (na prova %.2f GB)\n", memory, json_number(json_member(proof, "ram_mb"), 0) / 1000);
    /* Another processor may round otherwise and then choose another word once; one that computes wrongly does not get
     * half of the answers right, to the letter. */
    if (answered < count || 2 * equal < count) {
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
    say("Buscas no material aprovado, iguais às da prova: %d de %d\n", count - others, count);
    if (!others) return DONE;
    say("\nREPROVADO: a busca não funciona aqui como na prova. Não use; informe quem forneceu o pacote.\n");
    return NOT_PROVEN;
}
