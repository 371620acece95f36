/* OpenSSH's signature form (`ssh-keygen -Y`), which the bundle stage writes and Windows 10 and Linux can check. The
 * program is the system's own, by its absolute path: one that lies on the stick is never asked. */
#include "signature.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "key.h"
#include "platform.h"
#include "process.h"

static bool path_in(const char *folder, const char *name, char *out) {
    return snprintf(out, PATH_MAX_LENGTH, "%s/%s", folder, name) < PATH_MAX_LENGTH;
}

static long run(char *const argv[], const char *folder, const char *input) {
    long status = 127;
    process *child = start_process(argv, folder, NULL, input);
    if (!child) return status;
    while (!has_ended(child, &status)) sleep_ms(20);
    free_process(child);
    return status;
}

/* ssh-keygen wants a file that says who may sign. It runs in a folder of its own. */
static bool verifies(const char *program, const char *folder, const char *key) {
    char sums[PATH_MAX_LENGTH], signed_by[PATH_MAX_LENGTH], signers[PATH_MAX_LENGTH], temporary[PATH_MAX_LENGTH];
    if (!path_in(folder, "SHA256SUMS", sums) || !path_in(folder, "SHA256SUMS.sig", signed_by)
        || !make_temporary_folder(temporary))
        return false;
    FILE *file = path_in(temporary, "signers", signers) ? open_file(signers, "wb") : NULL;
    if (file) {
        fprintf(file, "packager %s\n", key);
        fclose(file);
    }
    char *argv[] = {(char *)(size_t)program, "-Y", "verify", "-f", signers, "-I", "packager", "-n", "packager",
                    "-s", signed_by, NULL};
    bool good = file && !run(argv, temporary, sums);
    remove_temporary_folder(temporary);
    return good;
}

bool has_signature(const char *folder) {
    char path[PATH_MAX_LENGTH];
    return path_in(folder, "SHA256SUMS.sig", path) && is_file(path);
}

signature signature_of(const char *folder, const char *key) {
    char path[PATH_MAX_LENGTH], program[PATH_MAX_LENGTH], theirs[KEY_NUMBERS], ours[KEY_NUMBERS];
    if (!has_signature(folder) || !path_in(folder, "SHA256SUMS.sig", path)) return NOT_SIGNED;
    if (!key_numbers(key, ours) || !numbers_of_signature(path, theirs)) return SIGNATURE_WRONG;
    if (strcmp(ours, theirs)) return SIGNED_OTHERWISE;
    if (!system_program("ssh-keygen", program)) return NOT_CHECKABLE;
    return verifies(program, folder, key) ? SIGNED_BY_KEY : SIGNATURE_WRONG;
}

static char *stated(const char *folder, const char *key, char *(*as)(const char *value)) {
    char path[PATH_MAX_LENGTH];
    char *config = path_in(folder, "runtime/config.json", path) ? read_whole(path) : NULL;
    char *value = as(json_member(config, key));
    free(config);
    return value;
}

bool stated_key(const char *folder, char *key) {
    char *text = stated(folder, "signer", json_text);
    bool fine = key_of_text(text, key);
    free(text);
    return fine;
}

bool states_signed(const char *folder) {
    char *word = stated(folder, "signed", json_raw);
    bool is_true = word && !strcmp(word, "true");
    free(word);
    return is_true;
}
