/* `busca model.bin knowledge.bin`: a question a line in, a line of JSON out, as the build and the clinic answer it. */
#include "search.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

static void *whole(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (!file) { fprintf(stderr, "busca: %s nao abre\n", path); exit(2); }
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    void *out = malloc(*bytes + 1);
    if (!out || fread(out, 1, *bytes, file) != *bytes) { fprintf(stderr, "busca: %s nao se le\n", path); exit(2); }
    fclose(file);
    return out;
}

int main(int count, char **words) {
    static const char *const VERDICTS[] = {"found", "far", "dose", "local", "empty"};
    char line[65536];
    size_t model_bytes, file_bytes;
    const char *why;
    if (count != 3) { fprintf(stderr, "busca MODELO CONHECIMENTO < perguntas\n"); return 2; }
#ifdef _WIN32
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
#endif
    void *model = whole(words[1], &model_bytes), *file = whole(words[2], &file_bytes);
    knowledge *k = knowledge_open(model, model_bytes, file, file_bytes, &why);
    if (!k) { fprintf(stderr, "busca: %s\n", why); return 2; }
    while (fgets(line, sizeof line, stdin)) {
        knowledge_hit hits[10];
        int verdict;
        line[strcspn(line, "\r\n")] = 0;
        int found = knowledge_ask(k, line, hits, 10, &verdict);
        printf("{\"verdict\": \"%s\", \"hits\": [", VERDICTS[verdict]);
        for (int i = 0; i < found; i++)
            printf("%s[%d, %d]", i ? ", " : "", (int)hits[i].passage, (int)hits[i].score);
        printf("]}\n");
        fflush(stdout);
    }
    knowledge_close(k);
    free(file);
    free(model);
    return 0;
}
