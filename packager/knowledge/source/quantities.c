#include "quantities.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

typedef struct { const char *word; double value; } named_number;
typedef struct { const char *words, *name; } named_unit;

static const named_number NUMBERS[] = {
    {"zero", 0}, {"meio", .5}, {"meia", .5}, {"um", 1}, {"uma", 1}, {"dois", 2}, {"duas", 2}, {"tres", 3}, {"quatro", 4},
    {"cinco", 5}, {"seis", 6}, {"sete", 7}, {"oito", 8}, {"nove", 9}, {"dez", 10}, {"onze", 11}, {"doze", 12},
    {"treze", 13}, {"quatorze", 14}, {"catorze", 14}, {"quinze", 15}, {"dezesseis", 16}, {"dezessete", 17},
    {"dezoito", 18}, {"dezenove", 19}, {"vinte", 20}, {"trinta", 30}, {"quarenta", 40}, {"cinquenta", 50},
    {"sessenta", 60}, {"setenta", 70}, {"oitenta", 80}, {"noventa", 90}, {"cem", 100}, {"cento", 100},
    {"duzentos", 200}, {"duzentas", 200}, {"trezentos", 300}, {"trezentas", 300}, {"quatrocentos", 400},
    {"quatrocentas", 400}, {"quinhentos", 500}, {"quinhentas", 500}, {"mil", 1000},
};

static const named_unit UNITS[] = {
    {" mg miligrama miligramas ", "mg"}, {" g grama gramas ", "g"},
    {" kg quilo quilos kilo kilos quilograma quilogramas ", "kg"}, {" mcg micrograma microgramas ", "mcg"},
    {" ml mililitro mililitros ", "ml"}, {" l litro litros ", "l"}, {" gota gotas ", "gota"},
    {" comprimido comprimidos cp ", "comprimido"}, {" dose doses ", "dose"}, {" vez vezes ", "vez"},
    {" h hora horas ", "hora"}, {" min minuto minutos ", "minuto"}, {" segundo segundos ", "segundo"},
    {" dia dias ", "dia"}, {" semana semanas ", "semana"}, {" mes meses ", "mes"}, {" ano anos ", "ano"},
    {" % porcento ", "%"}, {" \xc2\xb0 grau graus ", "grau"}, {" mmhg ", "mmhg"}, {" dl ", "mg/dl"},
    {" ui unidade unidades ", "ui"}, {" cm centimetro centimetros ", "cm"}, {" metro metros ", "metro"},
    {" ampola ampolas ", "ampola"}, {" colher colheres ", "colher"}, {" copo copos ", "copo"},
};

const char *unit_of(const char *text) {
    char wanted[TOKEN_MAX + 2];
    snprintf(wanted, sizeof wanted, " %s ", text);
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
        if (strstr(UNITS[i].words, wanted)) return UNITS[i].name;
    return "";
}

static double number_named(const char *text) {
    for (size_t i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++)
        if (!strcmp(NUMBERS[i].word, text)) return NUMBERS[i].value;
    return -1;
}

/* ------------------------------ tokens ------------------------------ */
static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* A figure with its points and commas; returns its bytes. */
static long take_figure(const char *at, const char *end, token *out) {
    long length = 0;
    int room = TOKEN_MAX - 1, used = 0;
    while (at + length < end) {
        char c = at[length];
        int joins = (c == '.' || c == ',') && at + length + 1 < end && is_digit(at[length + 1]) && length;
        if (!is_digit(c) && !joins) break;
        if (used < room) out->text[used++] = c;
        length++;
    }
    out->text[used] = 0;
    out->is_number = 1;
    return length;
}

/* One half and the like, which are signs of their own. */
static const char *fraction_at(const char *at) {
    static const char *const signs[][2] = {{"\xc2\xbd", "0.5"}, {"\xc2\xbc", "0.25"}, {"\xc2\xbe", "0.75"}};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (!strncmp(at, signs[i][0], 2)) return signs[i][1];
    return NULL;
}

/* The token at `at`, or 0 where there is none; `taken` is how far it goes. */
static int take_token(const char *at, const char *end, token *out, long *taken) {
    int bytes, used = 0, added;
    char sign[4];
    const char *fraction = fraction_at(at);
    *out = (token){0};
    *taken = 1;
    if (is_digit(*at)) return (int)(*taken = take_figure(at, end, out));
    if (*at == '%' || fraction || !strncmp(at, "\xc2\xb0", 2)) {
        *taken = *at == '%' ? 1 : 2;
        snprintf(out->text, sizeof out->text, "%.*s", fraction ? TOKEN_MAX - 1 : (int)*taken, fraction ? fraction : at);
        out->is_number = fraction != NULL;
        return 1;
    }
    for (*taken = 0; at + *taken < end && !is_digit(at[*taken]) && !fraction_at(at + *taken); *taken += bytes) {
        added = fold(at + *taken, sign, &bytes);
        if (added < 0) break;
        if (used + added < TOKEN_MAX) memcpy(out->text + used, sign, (size_t)added), used += added;
    }
    if (*taken) return used > 0;
    fold(at, sign, &bytes);
    *taken = bytes;
    return 0;
}

/* ------------------------------ quantities ------------------------------ */
/* 1.000 is a thousand, 2.5 and 2,5 are two and a half. */
static double value_of_figure(const char *figure) {
    char plain[TOKEN_MAX];
    int used = 0, comma = strchr(figure, ',') != NULL;
    for (const char *c = figure; *c; c++) {
        int thousands = *c == '.' && (comma || (strspn(c + 1, "0123456789") == 3));
        if (thousands) continue;
        plain[used++] = *c == ',' ? '.' : *c;
    }
    plain[used] = 0;
    return strtod(plain, NULL);
}

/* The number that begins at a token, and the place behind it; 0 where none does. */
static int number_at(const comparable *of, int at, double *value, int *behind) {
    const token *one = &of->token[at];
    *behind = at + 1;
    *value = one->is_number ? value_of_figure(one->text) : number_named(one->text);
    if (one->is_number || *value < 0) return one->is_number;
    double last = *value;
    while (last >= 20 && *behind + 1 < of->tokens && !strcmp(of->token[*behind].text, "e")) {
        double next = number_named(of->token[*behind + 1].text);
        if (next < 1 || next >= last) break;
        *value += last = next;
        *behind += 2;
    }
    return 1;
}

static void find_quantities(comparable *of) {
    for (int at = 0, behind; at < of->tokens; at = behind) {
        double value;
        const token *one = &of->token[at];
        if (!number_at(of, at, &value, &behind)) {
            behind = at + 1;
            continue;
        }
        const char *unit = behind < of->tokens ? unit_of(of->token[behind].text) : "";
        if (!strcmp(unit, "mg") && behind + 1 < of->tokens && !strcmp(of->token[behind + 1].text, "dl")) unit = "mg/dl";
        int is_article = !strcmp(one->text, "um") || !strcmp(one->text, "uma");
        if (is_article && !*unit && behind == at + 1) continue;
        quantity *found = &of->quantity[of->quantities++];
        snprintf(found->number, sizeof found->number, "%.10g", value);
        snprintf(found->unit, sizeof found->unit, "%s", unit);
    }
}

comparable comparable_of(const char *text, long bytes) {
    comparable of = {0};
    of.token = calloc((size_t)bytes + 1, sizeof *of.token);
    of.quantity = calloc((size_t)bytes + 1, sizeof *of.quantity);
    if (!of.token || !of.quantity) abort();
    for (long at = 0, taken; at < bytes; at += taken)
        of.tokens += take_token(text + at, text + bytes, &of.token[of.tokens], &taken) != 0;
    find_quantities(&of);
    return of;
}

void free_comparable(comparable *of) {
    free(of->token);
    free(of->quantity);
    *of = (comparable){0};
}
