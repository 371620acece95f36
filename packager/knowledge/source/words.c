#include "words.h"
#include <stdint.h>
#include <string.h>

/* U+00C0..U+00FF without accents, in lower case; '*' is no letter. */
static const char LATIN[] = "aaaaaaaceeeeiiiidnooooo*ouuuuytsaaaaaaaceeeeiiiidnooooo*ouuuuyty";

static const char *const STOPWORDS[] = {
    "a", "ainda", "ao", "aos", "as", "ate", "com", "como", "da", "das", "de", "deve", "devem", "do", "dos", "e", "ela",
    "ele", "em", "entao", "era", "essa", "esse", "esta", "estao", "este", "estou", "eu", "faco", "fazer", "foi",
    "ir", "isso", "ja", "mas", "me", "meu", "mim", "minha", "na", "nao", "nas", "no", "nos", "o", "onde", "os", "ou",
    "para", "pela", "pelo", "pode", "por", "porque", "posso", "qual", "quais", "quando", "quanta", "quantas", "quanto",
    "quantos", "que", "quem", "sao", "se", "ser", "serve", "seu", "sim", "so", "sua", "tem", "tenho", "ter", "um",
    "uma", "umas", "uns", "voce",
};

static const char *const ENDINGS[] = {
    "mentos", "idades", "mente", "acoes", "mento", "ncias", "idade", "acao", "coes", "ncia", "ando", "endo", "indo",
    "aram", "eram", "iram", "ados", "adas", "idos", "idas", "ares", "eres", "cao", "ado", "ada", "ido", "ida", "oes",
    "aes", "ais", "eis", "ois", "ar", "er", "ir", "es", "as", "os", "a", "e", "o", "s",
};

/* One code point from `text`; how many bytes it takes (a byte that is not UTF-8 counts as one sign). */
static int code_point(const unsigned char *text, uint32_t *out) {
    int more = text[0] >= 0xF0 ? 3 : text[0] >= 0xE0 ? 2 : text[0] >= 0xC2 ? 1 : 0;
    if (text[0] < 0x80 || more == 0) { *out = text[0] < 0x80 ? text[0] : 0xFFFD; return 1; }
    *out = text[0] & (0x3F >> more);
    for (int i = 1; i <= more; i++) {
        if ((text[i] & 0xC0) != 0x80) { *out = 0xFFFD; return 1; }
        *out = *out << 6 | (text[i] & 0x3F);
    }
    return more + 1;
}

/* What a code point adds to a folded word: bytes written, 0 for an accent of its own, -1 where the word ends. */
static int folded_sign(uint32_t point, const unsigned char *text, int bytes, char *out) {
    if (point >= 'A' && point <= 'Z') { *out = (char)(point + 32); return 1; }
    if ((point >= 'a' && point <= 'z') || (point >= '0' && point <= '9')) { *out = (char)point; return 1; }
    if (point >= 0x300 && point <= 0x36F) return 0;
    if (point == 0xAA || point == 0xBA) return 0; /* ª and º after a number */
    if (point >= 0xC0 && point <= 0xFF) {
        if (LATIN[point - 0xC0] == '*') return -1;
        *out = LATIN[point - 0xC0];
        return 1;
    }
    if (point < 0x100 || point == 0xFFFD || (point >= 0x2000 && point <= 0x2BFF)) return -1;
    memcpy(out, text, (size_t)bytes);
    return bytes;
}

int fold(const char *text, char *out, int *bytes) {
    uint32_t point;
    *bytes = code_point((const unsigned char *)text, &point);
    return folded_sign(point, (const unsigned char *)text, *bytes, out);
}

int next_word(const char *text, word *out) {
    const unsigned char *at = (const unsigned char *)text;
    int length = 0;
    out->at = NULL;
    while (*at) {
        uint32_t point;
        char sign[4];
        int bytes = code_point(at, &point), added = folded_sign(point, at, bytes, sign);
        if (added < 0 && out->at) break;
        if (added > 0 && !out->at) out->at = (const char *)at;
        if (added > 0 && length + added < WORD_MAX) { memcpy(out->folded + length, sign, (size_t)added); length += added; }
        at += bytes;
    }
    if (!out->at) return 0;
    out->folded[length] = 0;
    out->length = (int)((const char *)at - out->at);
    return 1;
}

void stem(char *folded) {
    size_t length = strlen(folded);
    for (size_t i = 0; i < sizeof ENDINGS / sizeof *ENDINGS; i++) {
        size_t ending = strlen(ENDINGS[i]);
        if (length >= ending + 3 && strcmp(folded + length - ending, ENDINGS[i]) == 0) {
            folded[length - ending] = 0;
            return;
        }
    }
}

int is_stopword(const char *folded) {
    for (size_t i = 0; i < sizeof STOPWORDS / sizeof *STOPWORDS; i++)
        if (strcmp(folded, STOPWORDS[i]) == 0) return 1;
    return 0;
}
