/* OpenSSH's signature form (`ssh-keygen -Y`), which the bundle stage writes and Windows 10 and Linux can check. */
#include "signature.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "platform.h"
#include "say.h"

/* The exit code of a program, or 127 if it is not on this machine. */
static long run(char *const argv[], const char *input) {
    long status = 127;
    process *child = start_process(argv, NULL, NULL, input);
    if (!child) return status;
    while (!has_ended(child, &status)) sleep_ms(20);
    free_process(child);
    return status;
}

/* ssh-keygen wants a file that says who may sign, then the kind of key and the key; a comment after it is left out. */
static bool write_signers(const char *path, const char *key) {
    char *text = read_whole(key);
    char *kind = text ? strtok(text, " \t\r\n") : NULL, *digits = kind ? strtok(NULL, " \t\r\n") : NULL;
    FILE *file = digits ? open_file(path, "wb") : NULL;
    if (file) fprintf(file, "packager %s %s\n", kind, digits);
    if (file) fclose(file);
    free(text);
    return file != NULL;
}

static long check(const char *folder, const char *signature, const char *key) {
    char sums[PATH_MAX_LENGTH], temporary[PATH_MAX_LENGTH], signers[PATH_MAX_LENGTH];
    if (snprintf(sums, sizeof sums, "%s/SHA256SUMS", folder) >= (int)sizeof sums || !make_temporary_folder(temporary))
        return 1;
    long status = 1;
    if (snprintf(signers, sizeof signers, "%s/signers", temporary) < (int)sizeof signers && write_signers(signers, key)) {
        char *argv[] = {"ssh-keygen", "-Y", "verify", "-f", signers, "-I", "packager", "-n", "packager",
                        "-s", (char *)(size_t)signature, NULL};
        status = run(argv, sums);
    }
    remove_temporary_folder(temporary);
    return status;
}

/* The package's own word, which its checksums cover: nobody takes a signature away unseen. */
static bool was_signed(const char *folder) {
    char path[PATH_MAX_LENGTH];
    if (snprintf(path, sizeof path, "%s/runtime/config.json", folder) >= (int)sizeof path) return false;
    char *config = read_whole(path), *word = json_raw(json_member(config, "signed"));
    bool is_true = word && !strcmp(word, "true");
    free(word);
    free(config);
    return is_true;
}

bool signature_is_good(const char *folder, const char *key) {
    char signature[PATH_MAX_LENGTH];
    snprintf(signature, sizeof signature, "%s/SHA256SUMS.sig", folder);
    if (!is_file(signature)) {
        bool wanted = was_signed(folder);
        if (wanted) complain("O pacote foi assinado e a assinatura foi retirada.\n");
        else if (key) complain("O pacote não está assinado, mas foi dada uma chave para conferir a assinatura.\n");
        return !key && !wanted;
    }
    if (!key) {
        say("O pacote está assinado. Para conferir a assinatura: iniciar --chave ARQUIVO (a chave pública,\n"
            "obtida por outro caminho que não este pendrive).\n");
        return true;
    }
    long status = check(folder, signature, key);
    if (status == 127) complain("A assinatura não pôde ser conferida: falta o programa ssh-keygen neste computador.\n");
    if (!status) say("Assinatura conferida com a chave %s.\n", key);
    return !status; /* a key was given on purpose: what cannot be checked does not pass */
}
