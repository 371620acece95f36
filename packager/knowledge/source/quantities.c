#include "quantities.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *word; double value; } named_number;
typedef struct { const char *words, *name; } named_unit;

static const named_number NUMBERS[] = {
    {"zero", 0}, {"meio", .5}, {"meia", .5}, {"um", 1}, {"uma", 1}, {"dois", 2}, {"duas", 2}, {"tres", 3}, {"quatro", 4},
    {"cinco", 5}, {"seis", 6}, {"sete", 7}, {"oito", 8}, {"nove", 9}, {"dez", 10}, {"onze", 11}, {"doze", 12},
    {"treze", 13}, {"quatorze", 14}, {"catorze", 14}, {"quinze", 15}, {"dezesseis", 16}, {"dezessete", 17},
    {"dezoito", 18}, {"dezenove", 19}, {"vinte", 20}, {"trinta", 30}, {"quarenta", 40}, {"cinquenta", 50},
    {"sessenta", 60}, {"setenta", 70}, {"oitenta", 80}, {"noventa", 90}, {"cem", 100}, {"cento", 100},
    {"duzentos", 200}, {"duzentas", 200}, {"trezentos", 300}, {"trezentas", 300}, {"quatrocentos", 400},
    {"quatrocentas", 400}, {"quinhentos", 500}, {"quinhentas", 500}, {"seiscentos", 600}, {"seiscentas", 600},
    {"setecentos", 700}, {"setecentas", 700}, {"oitocentos", 800}, {"oitocentas", 800}, {"novecentos", 900},
    {"novecentas", 900}, {"mil", 1000},
};

static const named_unit UNITS[] = {
    {" mg miligrama miligramas ", "mg"}, {" g grama gramas ", "g"},
    {" kg quilo quilos kilo kilos quilograma quilogramas ", "kg"}, {" mcg ug micrograma microgramas ", "mcg"},
    {" ml mililitro mililitros ", "ml"}, {" l litro litros ", "l"}, {" gota gotas ", "gota"},
    {" comprimido comprimidos cp ", "comprimido"}, {" dose doses ", "dose"}, {" vez vezes ", "vez"},
    {" h hora horas ", "hora"}, {" min minuto minutos ", "minuto"}, {" segundo segundos ", "segundo"},
    {" dia dias ", "dia"}, {" semana semanas ", "semana"}, {" mes meses ", "mes"}, {" ano anos ", "ano"},
    {" % porcento ", "%"}, {" \xc2\xb0 grau graus ", "grau"}, {" mmhg ", "mmhg"}, {" dl decilitro decilitros ", "dl"},
    {" ui unidade unidades ", "ui"}, {" cm centimetro centimetros ", "cm"}, {" metro metros ", "metro"},
    {" ampola ampolas ", "ampola"}, {" colher colheres ", "colher"}, {" copo copos ", "copo"},
    {" mcl ul microlitro microlitros ", "mcl"}, {" ng nanograma nanogramas ", "ng"}, {" meq ", "meq"},
    {" mmol milimol milimols ", "mmol"}, {" mcmol umol micromol micromols ", "mcmol"}, {" mol mols ", "mol"},
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

/* ------------------------------ numbers ------------------------------ */
static int is_word(const comparable *of, int at, const char *word) {
    return at < of->tokens && of->token[at].before != '.' && of->token[at].before != ',' && !strcmp(of->token[at].text, word);
}

/* A half or a quarter that stands behind another number; 0 for none. */
static double part_at(const comparable *of, int at) {
    if (is_word(of, at, "meio") || is_word(of, at, "meia")) return .5;
    double value = at < of->tokens && of->token[at].is_number && !of->token[at].before ? value_of_figure(of->token[at].text) : 0;
    return value > 0 && value < 1 && strchr(of->token[at].text, '/') ? value : 0;
}

/* Number words from one that was read on: cento e vinte. */
static double joined(const comparable *of, double value, int *behind) {
    double last = value;
    while (last >= 20 && is_word(of, *behind, "e") && *behind + 1 < of->tokens) {
        double next = number_named(of->token[*behind + 1].text);
        if (next < 1 || next >= last) break;
        value += last = next;
        *behind += 2;
    }
    return value;
}

/* What thousands are counted by, and what stands behind them: duzentas mil, 2 milhões, mil e duzentos. */
static double scaled(const comparable *of, double value, int in_words, int *behind, double *scale) {
    int thousands = is_word(of, *behind, "mil");
    *scale = in_words && value == 1000 ? 1000 : 1; /* behind the figure 1000 a number word counts something else */
    if (thousands || is_word(of, *behind, "milhao") || is_word(of, *behind, "milhoes")) {
        *scale = thousands ? 1e3 : 1e6;
        value *= *scale;
        ++*behind;
    }
    int next = *behind + is_word(of, *behind, "e");
    double rest = *scale > 1 && next < of->tokens && !of->token[next].before ? number_named(of->token[next].text) : -1;
    if (rest < 1 || rest >= 1000) return value;
    *behind = next + 1;
    return value + joined(of, rest, behind);
}

/* The number that begins at a token as text, and the place behind it; 0 where none does. */
static int number_at(const comparable *of, int at, double *value, char *text, int *behind) {
    const token *one = &of->token[at], *next = one + 1;
    double scale;
    *behind = at + 1;
    *value = one->is_number ? value_of_figure(one->text) : number_named(one->text);
    if (!one->is_number && *value < 0) return 0;
    int is_whole = *value >= 1 && !strpbrk(one->text, ".,/");
    if (one->is_number && is_whole && *behind < of->tokens && !next->before && strchr(next->text, '/') && !part_at(of, *behind)) {
        snprintf(text, QUANTITY_MAX, "%.12s %.16s", one->text, next->text); /* 2 1/3 */
        ++*behind, *value = -1;
        return 1;
    }
    if (*value < 0) {
        snprintf(text, QUANTITY_MAX, "%.*s", QUANTITY_MAX - 1, one->text);
        return 1;
    }
    if (!one->is_number) *value = joined(of, *value, behind);
    *value = scaled(of, *value, !one->is_number, behind, &scale);
    int part = *behind + is_word(of, *behind, "e");
    if (is_whole && part_at(of, part) && (part > *behind || of->token[part].is_number)) {
        *value += part_at(of, part) * scale; /* um e meio, 1½ */
        *behind = part + 1;
    }
    snprintf(text, QUANTITY_MAX, "%.15g", *value);
    return 1;
}
/* ------------------------------ quantities ------------------------------ */

/* By what is it divided: mg/kg and mg por quilo, mg/ml, mg/dl. "" where that says only how often, as in mg/dia. */
static const char *divisor_of(const comparable *of, int unit) {
    static const char behind_slash[] = " kg ml l dl ";
    for (int at = unit + 1; at < of->tokens && of->token[at].before != '.'; at++) {
        const char *name = unit_of(of->token[at].text), *last = of->token[at - 1].text;
        if (of->token[at].is_number || number_named(of->token[at].text) >= 0) break; /* another dose begins */
        char wanted[QUANTITY_MAX + 2];
        snprintf(wanted, sizeof wanted, " %s ", name);
        int divides = at == unit + 1 && (of->token[at].before == '/' || !strcmp(name, "dl"));
        if (*name && divides && strstr(behind_slash, wanted)) return name;
        const char *before_last = at > unit + 2 ? of->token[at - 2].text : "";
        int each = !strcmp(last, "cada") && (!strcmp(before_last, "para") || !strcmp(before_last, "a"));
        if (each && !strcmp(name, "kg")) return name;
        if (*name && !strcmp(last, "por") && strstr(behind_slash, wanted)) return name;
    }
    return "";
}

/* N of a figure that is N/N; 0 for any other. */
static double repeated(const char *figure) {
    const char *slash = strchr(figure, '/');
    size_t length = slash ? (size_t)(slash - figure) : 0;
    char half[TOKEN_MAX];
    if (!length || strlen(slash + 1) != length || strncmp(figure, slash + 1, length)) return 0;
    snprintf(half, sizeof half, "%.*s", (int)length, figure);
    return value_of_figure(half);
}

/* "Um comprimido e meio" is one and a half; "um comprimido e meio copo" is not. */
static double part_behind_unit(const comparable *of, int unit) {
    double part = is_word(of, unit + 1, "e") ? part_at(of, unit + 2) : 0;
    return part > 0 && (unit + 3 == of->tokens || !*unit_of(of->token[unit + 3].text)) ? part : 0;
}

static void find_quantities(comparable *of) {
    for (int at = 0, behind; at < of->tokens; at = behind) {
        double value;
        quantity found = {0};
        const token *one = &of->token[at];
        if (!number_at(of, at, &value, found.number, &behind)) continue;
        int unit = behind + (value >= 1e6 && is_word(of, behind, "de")); /* um milhão de unidades */
        const char *name = unit < of->tokens ? unit_of(of->token[unit].text) : "";
        int is_article = !strcmp(one->text, "um") || !strcmp(one->text, "uma");
        if (is_article && !*name && behind == at + 1) continue;
        double hours = one->is_number && !strcmp(name, "hora") ? repeated(one->text) : 0;
        if (hours > 0) { /* 8/8 h is every 8 hours, as "de 8 em 8 horas" */
            snprintf(found.number, sizeof found.number, "%.15g", hours);
            of->quantity[of->quantities++] = found;
        }
        const char *divisor = *name ? divisor_of(of, unit) : "";
        double part = *name && value >= 1 ? part_behind_unit(of, unit) : 0;
        if (part > 0) snprintf(found.number, sizeof found.number, "%.15g", value + part), behind = unit + 3;
        snprintf(found.unit, sizeof found.unit, *divisor ? "%s/%s" : "%s", name, divisor);
        for (int i = at; i < behind; i++) of->token[i].counted = i != unit || part == 0;
        of->quantity[of->quantities++] = found;
    }
}

/* The strongest of the signs between two tokens; see quantities.h. */
static void pass_over(const char *at, char *before) {
    if (strchr(".!?;\n", *at)) *before = '.';
    else if (*at == '/' ? !*before : *before != '.' && !strchr(" \t\r\xc2\xa0", *at)) *before = *at == '/' ? '/' : ',';
}

comparable comparable_of(const char *text, long bytes) {
    comparable of = {0};
    char before = 0;
    of.token = calloc((size_t)bytes + 1, sizeof *of.token);
    of.quantity = calloc((size_t)bytes + 1, sizeof *of.quantity);
    if (!of.token || !of.quantity) abort();
    for (long at = 0, taken; at < bytes; at += taken) {
        token *one = &of.token[of.tokens];
        if (!take_token(text + at, text + bytes, one, &taken)) {
            pass_over(text + at, &before);
            continue;
        }
        one->before = before;
        before = 0;
        of.tokens++;
    }
    find_quantities(&of);
    return of;
}

void free_comparable(comparable *of) {
    free(of->token);
    free(of->quantity);
    *of = (comparable){0};
}
