/* Judged as the proof judged: not empty, ended by itself, an expected word and no rejected one. That the words equal
 * those of the proof is reported, not asked for: another processor rounds in another way. */
#include "selftest.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "say.h"

enum { MOST_QUESTIONS = 256, ANSWER_SECONDS = 600 };

/* Lower case without accents, of the letters that Portuguese has: the two bytes C3 80 … C3 BF. */
static char *plain(const char *text) {
    static const char letters[] = "aaaaaaaceeeeiiiidnooooo/ouuuuytsaaaaaaaceeeeiiiidnooooo/ouuuuyty";
    char *out = calloc(strlen(text) + 1, 1), *at = out;
    for (; out && *text; text++) {
        unsigned char byte = (unsigned char)*text, next = (unsigned char)text[1];
        if (byte == 0xc3 && next >= 0x80 && next <= 0xbf) {
            *at++ = letters[next - 0x80];
            text++;
        } else if (byte == 0xcc && next >= 0x80) {
            text++; /* an accent that stands by itself */
        } else {
            *at++ = (char)(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
        }
    }
    return out;
}

static int words_in(const char *answer, const char *list, int *total) {
    int found = 0;
    const char *item;
    char *text = plain(answer);
    for (*total = 0; (item = json_item(list, *total)); ++*total) {
        char *word = json_text(item), *simple = word ? plain(word) : NULL;
        found += text && simple && strstr(text, simple) != NULL;
        free(word);
        free(simple);
    }
    free(text);
    return found;
}

/* NULL if the answer is as it should be, or what is wrong with it. */
static const char *wrong_with(const char *answer, const char *ended, const char *question) {
    int expected, rejected;
    int hits = words_in(answer, json_member(question, "expect_any"), &expected);
    int bad = words_in(answer, json_member(question, "reject_any"), &rejected);
    if (!answer[strspn(answer, " \r\n\t")]) return "resposta vazia";
    if (!ended || strcmp(ended, "stop")) return "a resposta não terminou sozinha";
    if (strstr(answer, "<|") || strstr(answer, "[INST]")) return "aparecem marcas internas do modelo";
    if (expected && !hits) return "nenhuma das palavras esperadas";
    return bad ? "contém uma palavra que não deveria" : NULL;
}

static bool ask_one(const server *running, const char *question, int number, double *speed, bool *same) {
    int code;
    char *ask = json_text(json_member(question, "ask")), *proven = json_text(json_member(question, "answer"));
    char *body = json_raw(json_member(question, "request"));
    char *reply = body && *body ? ask_server(running->port, "/v1/chat/completions", body, ANSWER_SECONDS, &code) : NULL;
    const char *choice = json_item(json_member(reply, "choices"), 0);
    char *answer = json_text(json_member(json_member(choice, "message"), "content"));
    char *ended = json_text(json_member(choice, "finish_reason"));
    const char *fault = !answer ? "sem resposta do programa" : wrong_with(answer, ended, question);
    *speed = json_number(json_member(json_member(reply, "timings"), "predicted_per_second"), 0);
    *same = answer && proven && !strncmp(answer + strspn(answer, " \n"), proven, strlen(proven));
    say("%s %d. %s\n", fault ? "[ERRO]" : "[certo]", number, ask ? ask : "?");
    if (answer) say("     %s\n", answer);
    if (fault) say("     Erro: %s.\n", fault);
    free(ask), free(proven), free(body), free(reply), free(answer), free(ended);
    return !fault;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int run_selftest(const server *running, const char *proof) {
    double speeds[MOST_QUESTIONS];
    int count = 0, good = 0, equal = 0;
    const char *questions = json_member(proof, "questions"), *question;
    while (count < MOST_QUESTIONS && (question = json_item(questions, count))) {
        bool same;
        if (was_interrupted()) return STOPPED;
        good += ask_one(running, question, count + 1, &speeds[count], &same);
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
    say("\nRespostas boas:   %d de %d (%d iguais às da prova, palavra por palavra)\n", good, count, equal);
    say("Velocidade:       %.1f tokens por segundo (mínimo %.1f; na prova %.1f)\n", speed, least,
        json_number(json_member(proof, "tokens_per_second"), 0));
    say("Memória:          %.2f GB (na prova %.2f GB)\n", memory, json_number(json_member(proof, "ram_mb"), 0) / 1000);
    if (good < count) {
        say("\nREPROVADO: o modelo não responde aqui como na prova. Não use; informe quem forneceu o pacote.\n");
        return NOT_PROVEN;
    }
    if (speed < least) {
        say("\nREPROVADO: as respostas são boas, mas este computador é lento demais para o modelo.\n");
        return NOT_PROVEN;
    }
    say("\nAPROVADO: o modelo responde neste computador como na prova.\n");
    return DONE;
}
