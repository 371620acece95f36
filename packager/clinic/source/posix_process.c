/* Linux: see process.h. */
#ifndef _WIN32
#define _GNU_SOURCE
#include "process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform.h"

struct process {
    pid_t pid;
    bool ended;
    long status;
};

process *start_process(char *const argv[], const char *folder, const char *log, const char *input) {
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) return NULL;
    if (!pid) {
        int in = open(input ? input : "/dev/null", O_RDONLY);
        int out = open(log ? log : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (in < 0 || out < 0 || (folder && chdir(folder))) _exit(127);
        dup2(in, 0), dup2(out, 1), dup2(out, 2);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) _exit(127);
        execv(argv[0], argv);
        _exit(127);
    }
    process *child = calloc(1, sizeof *child);
    if (child) child->pid = pid;
    return child;
}

bool has_ended(process *child, long *status) {
    int raw;
    if (!child->ended && waitpid(child->pid, &raw, WNOHANG) == child->pid) {
        child->ended = true;
        child->status = WIFSIGNALED(raw) ? -(long)WTERMSIG(raw) : WEXITSTATUS(raw);
    }
    if (status) *status = child->status;
    return child->ended;
}

void stop_process(process *child) {
    if (!has_ended(child, NULL)) kill(child->pid, SIGTERM);
    for (int i = 0; i < 50 && !has_ended(child, NULL); i++) sleep_ms(100);
    if (!has_ended(child, NULL)) {
        kill(child->pid, SIGKILL);
        while (!has_ended(child, NULL)) sleep_ms(20);
    }
}

void free_process(process *child) { free(child); }

double peak_memory_gb(process *child) {
    char path[64], line[256];
    double kilobytes = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)child->pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "VmHWM:", 6)) kilobytes = atof(line + 6);
    if (file) fclose(file);
    return kilobytes * 1024 / 1e9;
}

double process_seconds(process *child) {
    char path[64], line[1024] = "";
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)child->pid);
    FILE *file = fopen(path, "r");
    if (file && !fgets(line, sizeof line, file)) *line = 0;
    if (file) fclose(file);
    const char *fields = strrchr(line, ')'); /* the name before it may hold anything */
    if (!fields || sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

bool died_of_instruction(long status) { return status == -SIGILL || status == 128 + SIGILL; }
#endif
