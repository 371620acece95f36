#include "lexical.h"
#include "portable.h"
#include "words.h"
#include <stdio.h>
#include <string.h>

/* Robertson's constants as most engines have them. */
#define K1 1.2
#define B 0.75
#define WORDS_OF_A_QUESTION 64

typedef struct { char term[WORD_MAX]; int passage; int count; } posting;
typedef struct { char folded[WORD_MAX]; char written[WORD_MAX]; int count; } spelling;

struct lexical {
    int passages, postings, spellings;
    posting *posting;   /* by term, then passage */
    spelling *spelling; /* by folded word; the commonest way to write it */
    double *length, average;
};

static int by_term(const void *a, const void *b) {
    const posting *x = a, *y = b;
    int order = strcmp(x->term, y->term);
    return order ? order : x->passage - y->passage;
}

static int by_spelling(const void *a, const void *b) {
    const spelling *x = a, *y = b;
    int order = strcmp(x->folded, y->folded);
    return order ? order : strcmp(x->written, y->written);
}

static int by_folded(const void *a, const void *b) { return strcmp(((const spelling *)a)->folded, ((const spelling *)b)->folded); }

/* `count` elements with room for more: grown by doubling. */
static void *grown(void *old, int count, size_t size) {
    if (count && (count & (count - 1))) return old;
    void *more = realloc(old, (count ? (size_t)count * 2 : 1) * size);
    if (!more) { fprintf(stderr, "busca: falta memoria\n"); exit(1); }
    return more;
}

static void write_lower(const word *w, char *out) {
    int n = w->length < WORD_MAX - 1 ? w->length : WORD_MAX - 1;
    for (int i = 0; i < n; i++) {
        unsigned char c = (unsigned char)w->at[i];
        int upper_latin = i && (unsigned char)w->at[i - 1] == 0xC3 && c >= 0x80 && c <= 0x9E && c != 0x97;
        out[i] = (char)((c >= 'A' && c <= 'Z') || upper_latin ? c + 32 : c);
    }
    out[n] = 0;
}

static void add_text(lexical *l, const char *text, int passage, int times, int spell) {
    word w;
    for (const char *at = text; next_word(at, &w); at = w.at + w.length) {
        if (spell) {
            l->spelling = grown(l->spelling, l->spellings, sizeof *l->spelling);
            spelling *s = &l->spelling[l->spellings++];
            strcpy(s->folded, w.folded);
            write_lower(&w, s->written);
            s->count = 1;
        }
        if (is_stopword(w.folded)) continue;
        stem(w.folded);
        l->posting = grown(l->posting, l->postings, sizeof *l->posting);
        posting *p = &l->posting[l->postings++];
        strcpy(p->term, w.folded);
        p->passage = passage;
        p->count = times;
        l->length[passage] += times;
    }
}

static void merge_postings(lexical *l) {
    int kept = 0;
    qsort(l->posting, (size_t)l->postings, sizeof *l->posting, by_term);
    for (int i = 0; i < l->postings; i++) {
        if (kept && by_term(&l->posting[kept - 1], &l->posting[i]) == 0) l->posting[kept - 1].count += l->posting[i].count;
        else l->posting[kept++] = l->posting[i];
    }
    l->postings = kept;
}

/* One line for each folded word: its commonest spelling; none where the passages also write it without accents. */
static void merge_spellings(lexical *l) {
    int kept = 0;
    qsort(l->spelling, (size_t)l->spellings, sizeof *l->spelling, by_spelling);
    for (int i = 0; i < l->spellings;) {
        spelling best = l->spelling[i];
        int bare = 0, j = i;
        best.count = 0;
        while (j < l->spellings && strcmp(l->spelling[j].folded, l->spelling[i].folded) == 0) {
            int same = j;
            while (same < l->spellings && by_spelling(&l->spelling[same], &l->spelling[j]) == 0) same++;
            if (strcmp(l->spelling[j].written, l->spelling[j].folded) == 0) bare = 1;
            if (same - j > best.count) { best = l->spelling[j]; best.count = same - j; }
            j = same;
        }
        if (!bare && strlen(best.folded) >= 4) l->spelling[kept++] = best;
        i = j;
    }
    l->spellings = kept;
}

lexical *lexical_open(const char **questions, const char **texts, int passages) {
    lexical *l = calloc(1, sizeof *l);
    l->passages = passages;
    l->length = calloc((size_t)passages + 1, sizeof *l->length);
    for (int i = 0; i < passages; i++) {
        add_text(l, questions[i], i, 2, 1);
        add_text(l, texts[i], i, 1, 1);
    }
    merge_postings(l);
    merge_spellings(l);
    for (int i = 0; i < passages; i++) l->average += l->length[i];
    l->average = passages && l->average > 0 ? l->average / passages : 1.0;
    return l;
}

void lexical_close(lexical *l) {
    if (!l) return;
    free(l->posting);
    free(l->spelling);
    free(l->length);
    free(l);
}

static int first_posting(const lexical *l, const char *term) {
    int low = 0, high = l->postings;
    while (low < high) {
        int middle = (low + high) / 2;
        if (strcmp(l->posting[middle].term, term) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

void lexical_score(const lexical *l, const char *question, double weight, double *scores) {
    char seen[WORDS_OF_A_QUESTION][WORD_MAX];
    int terms = 0;
    word w;
    for (const char *at = question; terms < WORDS_OF_A_QUESTION && next_word(at, &w); at = w.at + w.length) {
        if (is_stopword(w.folded)) continue;
        stem(w.folded);
        int known = 0;
        for (int i = 0; i < terms; i++) known |= strcmp(seen[i], w.folded) == 0;
        if (known) continue;
        strcpy(seen[terms++], w.folded);
        int from = first_posting(l, w.folded), to = from;
        while (to < l->postings && strcmp(l->posting[to].term, w.folded) == 0) to++;
        double holding = to - from, rarity = knowledge_ln(1.0 + (l->passages - holding + 0.5) / (holding + 0.5));
        for (int i = from; i < to; i++) {
            const posting *p = &l->posting[i];
            double share = 1.0 - B + B * l->length[p->passage] / l->average;
            scores[p->passage] += weight * rarity * p->count * (K1 + 1.0) / (p->count + K1 * share);
        }
    }
}

const char *lexical_accented(const lexical *l, const char *folded) {
    spelling key;
    strcpy(key.folded, folded);
    spelling *found = l->spellings ? bsearch(&key, l->spelling, (size_t)l->spellings, sizeof key, by_folded) : NULL;
    return found ? found->written : NULL;
}
