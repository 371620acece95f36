#include "search.h"
#include "embedding.h"
#include "lexical.h"
#include "portable.h"
#include "words.h"
#include <string.h>

/* Weights and bytes as measured in docs/knowledge.md. */
#define WHOLE 0.8
#define ALONE 0.2
#define LEXICAL 0.001
#define HUB_PASSAGE 4 /* tenths of a passage's hubness that are taken off its score */
#define HUB_QUESTION 2 /* and of the question's */
#define CLOSE 20000 /* millionths: a further passage is shown when it is at most this far below the best */
#define MEANT 25000 /* millionths below `near`: nearer than small talk, too far to be shown */
#define LONGEST_QUESTION 2000
#define REWRITTEN (3 * LONGEST_QUESTION)
#define LONGEST_EXPRESSION 4

typedef struct { const char *typed, *typed_end, *meant, *meant_end; } expression;

struct knowledge {
    e5_model *model;
    lexical *words;
    int passages, dimensions, near, sure, expressions;
    const char **question, **text;
    const float *vector;
    const unsigned char *hubness;
    int64_t mean_hubness;
    expression *expression;
    const char *classes, *classes_end; /* the bytes of expressions.tsv */
};

static uint32_t u32(const unsigned char *p) { return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24; }

static int64_t hubness(const knowledge *k, int passage) { return (int32_t)u32(k->hubness + 4 * (size_t)passage); }

static int64_t millionths(double x) { return (int64_t)((x + 100.0) * 1e6 + 0.5) - 100000000; }

/* ------------------------------ the words people type ------------------------------ */
static void read_expressions(knowledge *k) {
    int lines = 0;
    for (const char *p = k->classes; p < k->classes_end; p++) lines += *p == '\n';
    k->expression = calloc((size_t)lines + 1, sizeof *k->expression);
    for (const char *line = k->classes; line < k->classes_end;) {
        const char *end = memchr(line, '\n', (size_t)(k->classes_end - line));
        if (!end) end = k->classes_end;
        const char *tab = memchr(line, '\t', (size_t)(end - line));
        if (tab && *line != '#' && *line != '!') k->expression[k->expressions++] = (expression){line, tab, tab + 1, end};
        line = end + 1;
    }
}

static const expression *expression_of(const knowledge *k, const char *typed) {
    size_t length = strlen(typed);
    for (int i = 0; i < k->expressions; i++) {
        const expression *e = &k->expression[i];
        if ((size_t)(e->typed_end - e->typed) == length && memcmp(e->typed, typed, length) == 0) return e;
    }
    return NULL;
}

/* Appends bytes to a text of `size` bytes; what does not fit is left out. */
static size_t append(char *out, size_t at, size_t size, const char *from, size_t bytes) {
    if (at + bytes + 1 > size) bytes = at + 1 < size ? size - at - 1 : 0;
    memcpy(out + at, from, bytes);
    out[at + bytes] = 0;
    return at + bytes;
}

void knowledge_rewritten(const knowledge *k, const char *question, char *out, size_t size) {
    const char *at = question;
    size_t length = 0;
    word w[LONGEST_EXPRESSION];
    out[0] = 0;
    while (next_word(at, &w[0])) {
        int count = 1, taken = 0;
        const expression *found = NULL;
        while (count < LONGEST_EXPRESSION && next_word(w[count - 1].at + w[count - 1].length, &w[count])) count++;
        for (taken = count; taken > 0 && !found; taken--) {
            char joined[LONGEST_EXPRESSION * WORD_MAX + LONGEST_EXPRESSION];
            size_t bytes = 0;
            for (int i = 0; i < taken; i++) {
                if (i) joined[bytes++] = ' ';
                size_t one = strlen(w[i].folded);
                memcpy(joined + bytes, w[i].folded, one);
                bytes += one;
            }
            joined[bytes] = 0;
            if ((found = expression_of(k, joined))) break;
        }
        length = append(out, length, size, at, (size_t)(w[0].at - at));
        if (found) {
            length = append(out, length, size, found->meant, (size_t)(found->meant_end - found->meant));
            at = w[taken - 1].at + w[taken - 1].length;
            continue;
        }
        const char *accented = lexical_accented(k->words, w[0].folded);
        if (accented) length = append(out, length, size, accented, strlen(accented));
        else length = append(out, length, size, w[0].at, (size_t)w[0].length);
        at = w[0].at + w[0].length;
    }
    append(out, length, size, at, strlen(at));
}

/* Does `text` have a word of the space-separated list? A number that is stuck to a unit (500mg) is passed over. */
static int has_word_of(const char *list, const char *end, const char *text) {
    word w;
    for (const char *at = text; next_word(at, &w); at = w.at + w.length) {
        const char *bare = w.folded + strspn(w.folded, "0123456789");
        size_t length = strlen(bare);
        for (const char *p = list; length && p < end;) {
            const char *space = memchr(p, ' ', (size_t)(end - p)), *stop = space ? space : end;
            if ((size_t)(stop - p) == length && memcmp(p, bare, length) == 0) return 1;
            p = stop + 1;
        }
    }
    return 0;
}

/* The first class of words that the question has and the passage (-1: none) lacks, or KNOWLEDGE_FOUND. */
static int missing_class(const knowledge *k, const char *question, int passage) {
    for (const char *line = k->classes; line < k->classes_end;) {
        const char *end = memchr(line, '\n', (size_t)(k->classes_end - line));
        if (!end) end = k->classes_end;
        const char *tab = memchr(line, '\t', (size_t)(end - line));
        if (*line == '!' && tab && has_word_of(tab + 1, end, question) &&
            (passage < 0 || (!has_word_of(tab + 1, end, k->question[passage]) && !has_word_of(tab + 1, end, k->text[passage]))))
            return tab - line == 5 && memcmp(line, "!dose", 5) == 0 ? KNOWLEDGE_DOSE : KNOWLEDGE_LOCAL;
        line = end + 1;
    }
    return KNOWLEDGE_FOUND;
}

/* ------------------------------ opening ------------------------------ */
static int read_passages(knowledge *k, const char *texts, const char *end) {
    k->question = calloc((size_t)k->passages + 1, sizeof *k->question);
    k->text = calloc((size_t)k->passages + 1, sizeof *k->text);
    for (int i = 0; i < 2 * k->passages; i++) {
        const char *zero = memchr(texts, 0, (size_t)(end - texts));
        if (!zero) return 0;
        (i % 2 ? k->text : k->question)[i / 2] = texts;
        texts = zero + 1;
    }
    return texts == end;
}

static const char *read_file(knowledge *k, const unsigned char *file, size_t bytes) {
    if (bytes < KNOWLEDGE_HEADER || memcmp(file, "PKNOW002", 8) != 0) return "it does not begin as a knowledge file";
    uint64_t expressions = u32(file + 24), texts = u32(file + 28) | (uint64_t)u32(file + 32) << 32;
    uint64_t passages = u32(file + 8), dimensions = u32(file + 12);
    if (passages > 1000000 || dimensions != (uint64_t)e5_dim(k->model) || texts > bytes) return "its header is damaged";
    uint64_t vectors = (KNOWLEDGE_HEADER + expressions + texts + 3) / 4 * 4;
    if (vectors + passages * (dimensions + 1) * 4 != bytes) return "its length is not what its header says";
    k->passages = (int)passages;
    k->dimensions = (int)dimensions;
    k->near = (int)u32(file + 16);
    k->sure = (int)u32(file + 20);
    k->classes = (const char *)file + KNOWLEDGE_HEADER;
    k->classes_end = k->classes + expressions;
    if (!read_passages(k, k->classes_end, k->classes_end + texts)) return "its passages are damaged";
    k->vector = (const float *)(const void *)(file + vectors);
    k->hubness = file + vectors + passages * dimensions * 4;
    for (int p = 0; p < k->passages; p++) k->mean_hubness += hubness(k, p);
    if (k->passages) k->mean_hubness /= k->passages;
    read_expressions(k);
    k->words = lexical_open(k->question, k->text, k->passages);
    return NULL;
}

knowledge *knowledge_open(const void *model, size_t model_bytes, const void *file, size_t file_bytes, const char **why) {
    knowledge *k = calloc(1, sizeof *k);
    k->model = e5_load_mem(model, model_bytes);
    *why = k->model ? read_file(k, file, file_bytes) : "the model is not e5's";
    if (!*why) return k;
    knowledge_close(k);
    return NULL;
}

void knowledge_close(knowledge *k) {
    if (!k) return;
    lexical_close(k->words);
    e5_free(k->model);
    free(k->question);
    free(k->text);
    free(k->expression);
    free(k);
}

void *knowledge_model(const void *model, size_t bytes) { return e5_load_mem(model, bytes); }
void knowledge_model_close(void *model) { e5_free(model); }
int knowledge_vector(void *model, const char *question, const char *text, float *out) {
    int dimensions = e5_dim(model);
    size_t bytes = strlen(question) + strlen(text) + 2;
    char *both = malloc(bytes);
    float *alone = malloc(sizeof *alone * (size_t)dimensions);
    size_t at = append(both, 0, bytes, question, strlen(question));
    if (at) at = append(both, at, bytes, " ", 1);
    append(both, at, bytes, text, strlen(text));
    int failed = embed(model, both, 0, out) | (*question ? embed(model, question, 1, alone) : 0);
    for (int i = 0; i < dimensions && *question; i++) out[i] = (float)(WHOLE * out[i] + ALONE * alone[i]);
    free(both);
    free(alone);
    return failed ? -1 : 0;
}

/* ------------------------------ asking ------------------------------ */
static void as_searched(const knowledge *k, const char *question, char out[REWRITTEN]) {
    char cut[LONGEST_QUESTION];
    append(cut, 0, sizeof cut, question, strlen(question));
    knowledge_rewritten(k, cut, out, REWRITTEN);
}

static int scores_of(knowledge *k, const char *rewritten, int32_t *scores) {
    word any;
    if (!next_word(rewritten, &any)) return 0;
    float *asked = malloc(sizeof *asked * (size_t)k->dimensions);
    double *close = calloc((size_t)k->passages + 1, sizeof *close);
    embed(k->model, rewritten, 1, asked);
    for (int p = 0; p < k->passages; p++)
        for (int i = 0; i < k->dimensions; i++) close[p] += (double)asked[i] * k->vector[(size_t)p * k->dimensions + i];
    lexical_score(k->words, rewritten, LEXICAL, close);
    for (int p = 0; p < k->passages; p++) scores[p] = (int32_t)millionths(close[p]);
    free(asked), free(close);
    return 1;
}

int knowledge_scores(knowledge *k, const char *question, int32_t *scores) {
    char asked[REWRITTEN];
    as_searched(k, question, asked);
    return scores_of(k, asked, scores);
}

/* The best of all passages into `hits`, at most `most`. */
static int best_of(const knowledge *k, const int32_t *scores, knowledge_hit *hits, int most) {
    int count = 0;
    for (int p = 0; p < k->passages; p++) {
        int place = count;
        while (place > 0 && hits[place - 1].score < scores[p]) place--;
        if (place >= most) continue;
        if (count < most) count++;
        memmove(hits + place + 1, hits + place, sizeof *hits * (size_t)(count - place - 1));
        hits[place] = (knowledge_hit){p, scores[p]};
    }
    return count;
}

/* Some passages are close to everything, and some questions to every passage. A score says more without that: CSLS
 * (Conneau and others, Word Translation Without Parallel Data, 2018), with weights of our own. */
void knowledge_without_hubness(const knowledge *k, int32_t *scores) {
    knowledge_hit near[KNOWLEDGE_NEIGHBOURS + 1];
    int64_t question = 0;
    int count = best_of(k, scores, near, KNOWLEDGE_NEIGHBOURS);
    if (!k->mean_hubness || !count) return; /* not measured */
    for (int i = 0; i < count; i++) question += near[i].score;
    question = question / count - k->mean_hubness;
    for (int p = 0; p < k->passages; p++)
        scores[p] -= (int32_t)((HUB_PASSAGE * (hubness(k, p) - k->mean_hubness) + HUB_QUESTION * question) / 10);
}

int knowledge_ask(knowledge *k, const char *question, knowledge_hit *hits, int most, int *verdict) {
    char asked[REWRITTEN];
    as_searched(k, question, asked);
    int32_t *scores = calloc((size_t)k->passages + 1, sizeof *scores);
    int count = 0;
    if (most > 0 && scores_of(k, asked, scores)) {
        knowledge_without_hubness(k, scores);
        count = best_of(k, scores, hits, most);
    }
    free(scores);
    if (!count) { *verdict = KNOWLEDGE_EMPTY; return 0; }
    *verdict = missing_class(k, asked, hits[0].passage);
    if (*verdict == KNOWLEDGE_FOUND && hits[0].score < k->sure)
        /* Who asks for a dose is not shown one that may be another's. */
        *verdict = hits[0].score < k->near || missing_class(k, asked, -1) ? KNOWLEDGE_FAR : KNOWLEDGE_NEAR;
    return count;
}

int knowledge_find(knowledge *k, const char *question, knowledge_hit *hits, int *verdict, int *meant) {
    int count = knowledge_ask(k, question, hits, KNOWLEDGE_SHOWN, verdict), shown = 0, near = k->near - MEANT;
    int may = *verdict == KNOWLEDGE_FOUND || *verdict == KNOWLEDGE_NEAR ? count : 0, far = *verdict == KNOWLEDGE_FAR ? count : 0;
    while (shown < may && hits[0].score - hits[shown].score <= CLOSE) shown++;
    for (*meant = 0; *meant < far && hits[*meant].score >= near && *k->question[hits[*meant].passage];) ++*meant;
    return shown;
}

int knowledge_answer(knowledge *k, const char *question, knowledge_hit *hits, int *verdict) {
    return knowledge_find(k, question, hits, verdict, &(int){0});
}

int knowledge_meant(knowledge *k, const char *question, knowledge_hit *hits) {
    int verdict, meant;
    return knowledge_find(k, question, hits, &verdict, &meant), meant;
}

int knowledge_count(const knowledge *k) { return k->passages; }
const char *knowledge_question(const knowledge *k, int passage) { return k->question[passage]; }
const char *knowledge_text(const knowledge *k, int passage) { return k->text[passage]; }
