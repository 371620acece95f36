/* See material.h. Sources, dates and pages stand in knowledge.jsonl, a line for each passage of knowledge.bin. */
#include "material.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grounding.h"
#include "json.h"
#include "package.h"
#include "platform.h"
#include "say.h"
#include "writing.h"

enum { INDEX, LINES, MODEL, RANKED = 10, LONGEST_LINE = 8192, LONGEST_PROMPT = 1 << 16 };

const char *const MATERIAL[MATERIAL_FILES] = {PACKAGE "knowledge.bin", PACKAGE "knowledge.jsonl", PACKAGE "e5-small-enpt-q4.bin"};
static const char *const VERDICTS[] = {"found", "near", "far", "dose", "local", "empty"};
/* Of a line of knowledge.jsonl, what people are shown. */
static const char *const SHOWN[] = {"question", "text", "source", "date", "page", "heading", "row"};

struct material {
    knowledge *search;
    char *file[MATERIAL_FILES];
    const char **line; /* of each passage, as JSON */
    int given;         /* passages that the model is given */
    bool portuguese;
};

static char *read_bytes(const char *folder, const char *name, size_t *bytes) {
    char path[PATH_MAX_LENGTH];
    FILE *file = path_of(path, folder, name) ? open_file(path, "rb") : NULL;
    long long size = file ? file_size(path) : -1;
    char *all = size >= 0 ? malloc((size_t)size + 1) : NULL;
    if (all && fread(all, 1, (size_t)size, file) != (size_t)size) free(all), all = NULL;
    if (all) all[size] = 0;
    if (file) fclose(file);
    *bytes = all ? (size_t)size : 0;
    return all;
}

/* The lines of knowledge.jsonl, cut in place. */
static bool read_lines(material *of) {
    int count = knowledge_count(of->search), found = 0;
    of->line = calloc((size_t)count + 1, sizeof *of->line);
    for (char *at = of->file[LINES]; of->line && *at; found++) {
        if (found < count) of->line[found] = at;
        at += strcspn(at, "\n");
        if (*at) *at++ = 0;
    }
    return of->line && found == count;
}

material *open_material(const char *folder, const char *config) {
    material *of = calloc(1, sizeof *of);
    size_t bytes[MATERIAL_FILES];
    const char *why = "out of memory";
    char *language = json_text(json_member(config, "language"));
    for (int i = 0; of && i < MATERIAL_FILES; i++) {
        if ((of->file[i] = read_bytes(folder, MATERIAL[i], &bytes[i]))) continue;
        complain("O %s (%s) não pode ser lido. Copie a pasta de novo.\n", material_words(config), MATERIAL[i]);
        close_material(of), free(language);
        return NULL;
    }
    if (of) of->search = knowledge_open(of->file[MODEL], bytes[MODEL], of->file[INDEX], bytes[INDEX], &why);
    if (of && of->search && read_lines(of)) {
        int given = (int)json_number(json_member(config, "passages"), KNOWLEDGE_SHOWN);
        of->given = given < 1 ? 1 : given;
        of->portuguese = !language || strcmp(language, "en");
        free(language);
        return of;
    }
    complain("O %s está danificado (%s). Copie a pasta de novo.\n", material_words(config),
             of && of->search ? MATERIAL[LINES] : why);
    close_material(of), free(language);
    return NULL;
}

void close_material(material *of) {
    if (!of) return;
    knowledge_close(of->search);
    for (int i = 0; i < MATERIAL_FILES; i++) free(of->file[i]);
    free(of->line);
    free(of);
}

/* ------------------------------ what it says ------------------------------ */
static void put_passage(writing *to, const material *of, const knowledge_hit *hit) {
    put(to, "{\"place\":%d,\"score\":%d", (int)hit->passage, (int)hit->score);
    for (size_t i = 0; i < sizeof SHOWN / sizeof *SHOWN; i++) {
        char *value = json_raw(json_member(of->line[hit->passage], SHOWN[i]));
        if (value && *value) put(to, ",\"%s\":%s", SHOWN[i], value);
        free(value);
    }
    put(to, "}");
}

/* The passages that the model is given, of those that are shown, and its question with them. */
static void put_prompt(writing *to, const material *of, const char *question, const knowledge_hit *hits, int count) {
    static char prompt[LONGEST_PROMPT];
    const char *texts[KNOWLEDGE_SHOWN];
    if (count > of->given) count = of->given;
    for (int i = 0; i < count; i++) texts[i] = knowledge_text(of->search, hits[i].passage);
    knowledge_prompt(question, texts, count, of->portuguese, prompt, sizeof prompt);
    put(to, ",\"prompt\":");
    put_json_text(to, prompt, strlen(prompt));
    put(to, ",\"places\":[");
    for (int i = 0; i < count; i++) put(to, "%s%d", i ? "," : "", (int)hits[i].passage);
    put(to, "]");
}

/* Approved questions that may have been meant, where nothing is close enough to be shown. */
static void put_meant(writing *to, const material *of, const knowledge_hit *hits, int count) {
    put(to, ",\"meant\":[");
    for (int i = 0; i < count; i++) {
        const char *asked = knowledge_question(of->search, hits[i].passage);
        if (i) put(to, ",");
        put_json_text(to, asked, strlen(asked));
    }
    put(to, "]");
}

char *find_in_material(material *of, const char *body, answer_mode mode) {
    char *question = json_text(json_member(body, "question"));
    knowledge_hit hits[KNOWLEDGE_SHOWN];
    writing out = {0};
    int verdict, meant;
    if (!question) return NULL;
    int count = knowledge_find(of->search, question, hits, &verdict, &meant);
    put(&out, "{\"mode\":\"%s\",\"verdict\":\"%s\",\"passages\":[", mode_key(mode), VERDICTS[verdict]);
    for (int i = 0; i < count; i++) {
        if (i) put(&out, ",");
        put_passage(&out, of, &hits[i]);
    }
    put(&out, "]");
    if (!count) put_meant(&out, of, hits, meant);
    if (verdict == KNOWLEDGE_FOUND && mode == MODE_ASSISTED) put_prompt(&out, of, question, hits, count);
    put(&out, "}");
    free(question);
    return out.text;
}

static void put_sentence(const char *sentence, int bytes, const char *why, void *data) {
    writing *to = data;
    put(to, "%s{\"text\":", to->text[to->used - 1] == '[' ? "" : ",");
    put_json_text(to, sentence, (size_t)bytes);
    put(to, ",\"why\":");
    put_json_text(to, why, strlen(why));
    put(to, "}");
}

char *hold_against_material(material *of, const char *body) {
    char *answer = json_text(json_member(body, "answer"));
    const char *places = json_member(body, "places"), *one, *texts[KNOWLEDGE_SHOWN];
    int count = 0;
    writing out = {0};
    if (!answer) return NULL;
    while (count < KNOWLEDGE_SHOWN && (one = json_item(places, count))) {
        int place = (int)json_number(one, -1);
        if (place < 0 || place >= knowledge_count(of->search)) break;
        texts[count++] = knowledge_text(of->search, place);
    }
    put(&out, "{\"sentences\":[");
    knowledge_ground(answer, texts, count, put_sentence, &out);
    put(&out, "]}");
    free(answer);
    return out.text;
}

/* ------------------------------ the same as in the build? ------------------------------ */
static void rank(material *of, const char *question, writing *to) {
    knowledge_hit hits[RANKED];
    int verdict, count = knowledge_ask(of->search, question, hits, RANKED, &verdict);
    put(to, "{\"verdict\": \"%s\", \"hits\": [", VERDICTS[verdict]);
    for (int i = 0; i < count; i++) put(to, "%s[%d, %d]", i ? ", " : "", (int)hits[i].passage, (int)hits[i].score);
    put(to, "]}");
}

int rank_lines(material *of) {
    static char line[LONGEST_LINE];
    while (fgets(line, sizeof line, stdin)) {
        writing out = {0};
        line[strcspn(line, "\r\n")] = 0;
        rank(of, line, &out);
        say("%s\n", out.text);
        free(out.text);
    }
    return DONE;
}

int replay_searches(material *of, const char *proof, int *count) {
    const char *searches = json_member(proof, "searches"), *one;
    int others = 0;
    for (*count = 0; (one = json_item(searches, *count)); ++*count) {
        char *ask = json_text(json_member(one, "ask")), *proven = json_text(json_member(one, "ranking"));
        writing out = {0};
        rank(of, ask ? ask : "", &out);
        bool same = proven && !strcmp(proven, out.text);
        if (!same) say("[difere] %s\n", ask ? ask : "?");
        others += !same;
        free(ask), free(proven), free(out.text);
    }
    return *count ? others : -1;
}
