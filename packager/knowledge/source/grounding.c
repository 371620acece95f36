/* See grounding.h. */
#include "grounding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quantities.h"

enum { WHY_MAX = 512 };

/* What the model was taught to say where the passages do not answer: it stands. */
static const char *const REFUSALS[] = {
    "Não encontrei isso no material aprovado.",
    "I did not find this in the approved material.",
};

static int is_refusal(const char *sentence, long bytes) {
    for (size_t i = 0; i < sizeof REFUSALS / sizeof *REFUSALS; i++)
        if ((long)strlen(REFUSALS[i]) == bytes && !strncmp(sentence, REFUSALS[i], (size_t)bytes)) return 1;
    return 0;
}

/* Of a sentence's content words, the share that must stand in the passage; the rest is what joins them. */
static const double CARRIED = 0.8;

static const char JOINING[] =
    " a ao aos aquela aquele as assim ate cada com como da das de dela dele do dos e ela elas ele eles em entao entre era "
    "essa esse esta estao estar este eu foi ha isso isto ja la lhe mais mas me mesmo muito na nas nem no nos o onde os ou "
    "para pela pelas pelo pelos por porque portanto pode podem qual quando que quem se seja sem ser seu seus sim so sobre "
    "sua suas tambem tem ter toda todas todo todos um uma voce deve devem precisa importante ";
static const char DENYING[] = " nao nunca jamais proibido proibida proibidos proibidas evite evitar sem nem nenhum nenhuma "
                              "contraindicado contraindicada contraindicados contraindicadas suspenda suspender ";
/* They change a dose without a number. */
static const char SCALING[] = " dobro dobrar dobre triplo triplicar metade quadruplo quarto quartos terco tercos ";

static int listed(const char *list, const char *text) {
    char wanted[TOKEN_MAX + 2];
    snprintf(wanted, sizeof wanted, " %s ", text);
    return strstr(list, wanted) != NULL;
}

static int is_content(const token *one) {
    return !one->is_number && !one->counted && strlen(one->text) > 2 && !listed(JOINING, one->text);
}

/* The same beginning: plural, gender and the ending of a verb may differ. */
static int same_stem(const char *a, const char *b) {
    size_t x = strlen(a), y = strlen(b);
    size_t stem_a = x > 4 ? (x - 3 > 4 ? x - 3 : 4) : x, stem_b = y > 4 ? (y - 3 > 4 ? y - 3 : 4) : y;
    return stem_a == stem_b && !strncmp(a, b, stem_a);
}

/* The word, or the same unit written otherwise (miligramas, mg). */
static int has_stem(const comparable *of, const char *text) {
    const char *unit = unit_of(text);
    for (int i = 0; i < of->tokens; i++)
        if (same_stem(of->token[i].text, text) || (*unit && !strcmp(unit_of(of->token[i].text), unit))) return 1;
    return 0;
}

static int has_listed(const comparable *of, const char *list) {
    for (int i = 0; i < of->tokens; i++)
        if (listed(list, of->token[i].text)) return i + 1;
    return 0;
}

/* A sentence ends at . ! ? before a blank, and at a line's end; bytes of the one that begins at `text`. */
static long sentence_length(const char *text) {
    long at = 0;
    for (; text[at] && text[at] != '\n'; at++)
        if (strchr(".!?", text[at]) && (text[at + 1] == ' ' || text[at + 1] == '\n' || text[at + 1] == '\r')) return at + 1;
    return at;
}

static const char *next_sentence(const char *text) { return text + strspn(text, " \t\r\n"); }

/* ------------------------------ one sentence, one passage ------------------------------ */
static void add(char *why, const char *text) {
    size_t used = strlen(why);
    if (used + strlen(text) + 2 < WHY_MAX) snprintf(why + used, WHY_MAX - used, " %s", text);
}

static int lacks_numbers(const comparable *said, const comparable *passage, char *why) {
    int lacking = 0;
    for (int i = 0; i < said->quantities; i++) {
        const quantity *one = &said->quantity[i];
        int there = 0;
        for (int j = 0; j < passage->quantities && !there; j++)
            there = !strcmp(one->number, passage->quantity[j].number) && !strcmp(one->unit, passage->quantity[j].unit);
        if (there) continue;
        if (!lacking++) strcpy(why, "numbers:");
        add(why, one->number);
        if (*one->unit) add(why, one->unit);
    }
    return lacking;
}

/* Of the passage's sentences, those nearest to what is said: does one deny as it does? */
static int denies_alike(const comparable *said, const char *passage) {
    int best = 0, alike = 1, denies = has_listed(said, DENYING) != 0;
    for (const char *at = next_sentence(passage); *at; at = next_sentence(at)) {
        long bytes = sentence_length(at);
        comparable own = comparable_of(at, bytes);
        int shared = 0, same = (has_listed(&own, DENYING) != 0) == denies;
        for (int i = 0; i < said->tokens; i++)
            shared += is_content(&said->token[i]) && !listed(DENYING, said->token[i].text) && has_stem(&own, said->token[i].text);
        if (shared > best || (shared == best && same)) best = shared, alike = same;
        free_comparable(&own);
        at += bytes;
    }
    return alike;
}

static int lacks_words(const comparable *said, const comparable *passage, char *why) {
    int content = 0, absent = 0, changing = 0;
    char words[WHY_MAX] = "words:", meaning[WHY_MAX] = "meaning:";
    for (int i = 0; i < said->tokens; i++) {
        const token *one = &said->token[i];
        int is_rate = one->before == '/' && *unit_of(one->text); /* mg/h is not mg/dia */
        if (!is_content(one) && !is_rate) continue;
        content++;
        if (has_stem(passage, one->text)) continue;
        absent++;
        add(words, one->text);
        if (*unit_of(one->text) || listed(SCALING, one->text)) add(meaning, one->text), changing = 1;
    }
    int too_many = content && (double)absent > (1.0 - CARRIED) * content + 1e-9;
    if (changing) strcpy(why, meaning);
    else if (!content && !said->quantities) strcpy(why, "empty:");
    else if (too_many) strcpy(why, words);
    return *why != 0;
}

/* Is it one of the passage's sentences, word for word? "Sim." alone has no content that could be compared. */
static int is_sentence_of(const comparable *said, const char *passage) {
    int found = 0;
    for (const char *at = next_sentence(passage); *at && !found; at = next_sentence(at)) {
        long bytes = sentence_length(at);
        comparable own = comparable_of(at, bytes);
        found = said->tokens && own.tokens == said->tokens;
        for (int i = 0; i < own.tokens && found; i++) found = !strcmp(own.token[i].text, said->token[i].text);
        free_comparable(&own);
        at += bytes;
    }
    return found;
}

/* What of the sentence the passage does not carry: "" in `why` for nothing. */
static void compare(const comparable *said, const char *text, char *why) {
    *why = 0;
    if (is_sentence_of(said, text)) return;
    comparable passage = comparable_of(text, (long)strlen(text));
    int lacking = lacks_numbers(said, &passage, why) || lacks_words(said, &passage, why);
    if (!lacking && !denies_alike(said, text)) {
        int at = has_listed(said, DENYING);
        snprintf(why, WHY_MAX, "meaning: %s", at ? said->token[at - 1].text : "nao");
    }
    free_comparable(&passage);
}

void knowledge_ground(const char *answer, const char *const *passages, int count, knowledge_sentence seen, void *data) {
    for (const char *at = next_sentence(answer); *at; at = next_sentence(at)) {
        char best[WHY_MAX] = "nothing:", why[WHY_MAX];
        long bytes = sentence_length(at);
        comparable said = comparable_of(at, bytes);
        if (is_refusal(at, bytes)) *best = 0;
        for (int i = 0; i < count && *best; i++) {
            compare(&said, passages[i], why);
            if (!i || strlen(why) < strlen(best)) strcpy(best, why);
        }
        free_comparable(&said);
        seen(at, (int)bytes, best, data);
        at += bytes;
    }
}

void knowledge_prompt(const char *question, const char *const *passages, int count, int portuguese, char *out, size_t size) {
    size_t used = 0;
    used += (size_t)snprintf(out, size, "%s\n", portuguese ? "Material aprovado:" : "Approved material:");
    for (int i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%d. %s\n", i + 1, passages[i]);
    if (used < size) snprintf(out + used, size - used, "\n%s %s", portuguese ? "Pergunta:" : "Question:", question);
}
