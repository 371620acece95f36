/* Linux: see platform.h. */
#ifndef _WIN32
#define _GNU_SOURCE
#include "platform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static long number_in(const char *path) {
    long number = -1;
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%ld", &number) != 1) number = -1;
        fclose(file);
    }
    return number;
}

int physical_cores(void) {
    cpu_set_t allowed;
    long seen[CPU_SETSIZE];
    int cores = 0, processors = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed)) return 1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        char path[128];
        if (!CPU_ISSET(cpu, &allowed)) continue;
        processors++;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu);
        long package = number_in(path);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/core_id", cpu);
        long core = number_in(path);
        if (core < 0) return processors ? (int)CPU_COUNT(&allowed) : 1;
        long key = (package < 0 ? 0 : package) * 100000 + core;
        bool known = false;
        for (int i = 0; i < cores; i++) known = known || seen[i] == key;
        if (!known) seen[cores++] = key;
    }
    return cores ? cores : 1;
}

double computed_seconds(void) {
    /* user, nice, system, idle, iowait, irq, softirq */
    double ticks[7] = {0};
    FILE *file = fopen("/proc/stat", "r");
    int got = file ? fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf", &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4],
                            &ticks[5], &ticks[6]) : 0;
    if (file) fclose(file);
    return got == 7 ? (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / (double)sysconf(_SC_CLK_TCK) : 0;
}

static double meminfo(const char *name) {
    char line[256];
    double kilobytes = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name))) kilobytes = atof(line + strlen(name));
    if (file) fclose(file);
    return kilobytes * 1024 / 1e9;
}

double memory_total_gb(void) { return meminfo("MemTotal:"); }
double memory_available_gb(void) { return meminfo("MemAvailable:"); }

double disk_free_gb(const char *folder) {
    struct statvfs disk;
    return statvfs(folder, &disk) ? 0 : (double)disk.f_bavail * (double)disk.f_frsize / 1e9;
}

FILE *open_file(const char *path, const char *mode) { return fopen(path, mode); }

bool is_file(const char *path) {
    struct stat info;
    return !stat(path, &info) && S_ISREG(info.st_mode);
}

long long file_size(const char *path) {
    struct stat info;
    return stat(path, &info) ? -1 : (long long)info.st_size;
}

static void walk(const char *root, const char *below, file_seen seen, void *data) {
    char path[PATH_MAX_LENGTH];
    snprintf(path, sizeof path, "%s%s%s", root, *below ? "/" : "", below);
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        char relative[PATH_MAX_LENGTH];
        struct stat info;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (snprintf(relative, sizeof relative, "%s%s%s", below, *below ? "/" : "", entry->d_name) >= (int)sizeof relative
            || snprintf(path, sizeof path, "%s/%s", root, relative) >= (int)sizeof path || lstat(path, &info)) {
            seen(entry->d_name, false, data);
        } else if (S_ISDIR(info.st_mode)) {
            walk(root, relative, seen, data);
        } else {
            seen(relative, is_file(path), data);
        }
    }
    if (folder) closedir(folder);
}

void each_file(const char *root, file_seen seen, void *data) { walk(root, "", seen, data); }

void each_folder(const char *root, folder_seen seen, void *data) {
    DIR *folder = opendir(root);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        char path[PATH_MAX_LENGTH];
        struct stat info;
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", root, entry->d_name);
        if (!stat(path, &info) && S_ISDIR(info.st_mode)) seen(entry->d_name, data);
    }
    if (folder) closedir(folder);
}

bool absolute_path(const char *path, char *out) {
    char *found = realpath(path, NULL);
    bool fits = found && strlen(found) < PATH_MAX_LENGTH;
    if (fits) strcpy(out, found);
    free(found);
    return fits;
}

bool make_temporary_folder(char *out) {
    const char *base = getenv("TMPDIR");
    snprintf(out, PATH_MAX_LENGTH, "%s/assistente-XXXXXX", base && *base ? base : "/tmp");
    return mkdtemp(out) != NULL;
}

void remove_temporary_folder(const char *folder) {
    DIR *opened = opendir(folder);
    struct dirent *entry;
    while (opened && (entry = readdir(opened))) unlinkat(dirfd(opened), entry->d_name, 0);
    if (opened) closedir(opened);
    rmdir(folder);
}

void remove_file(const char *path) { unlink(path); }

bool private_folder(const char *name, char *out) {
    const char *base = getenv("TMPDIR");
    struct stat info;
    int size = snprintf(out, PATH_MAX_LENGTH, "%s/assistente-%u-%s", base && *base ? base : "/tmp", (unsigned)getuid(), name);
    if (size >= PATH_MAX_LENGTH) return false;
    int missing;
    do { /* another start, as it ends, may remove it in between */
        if (mkdir(out, 0700) && errno != EEXIST) return false;
        missing = lstat(out, &info);
    } while (missing && errno == ENOENT);
    /* Anybody may write to /tmp: one that another user laid there is not ours. */
    return !missing && S_ISDIR(info.st_mode) && info.st_uid == getuid() && !(info.st_mode & 077);
}

static int held_lock = -1;

bool still_held(const char *lock) {
    struct stat held, named;
    return held_lock >= 0 && !fstat(held_lock, &held) && !stat(lock, &named) && held.st_ino == named.st_ino
           && held.st_dev == named.st_dev;
}

void keep_fresh(const char *path) { utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW); }

bool hold(const char *lock) {
    int handle = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (handle < 0) return false;
    /* Another one may have removed the file, and the folder, between our opening and our holding it. */
    int before = held_lock;
    held_lock = handle;
    bool ours = !flock(handle, LOCK_EX | LOCK_NB) && still_held(lock);
    if (!ours) held_lock = before;
    if (!ours || before >= 0) close(ours ? before : handle);
    return ours; /* the handle stays open, and the lock with it, even if this program is killed */
}

bool system_program(const char *name, char *out) {
    static const char *const folders[] = {"/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (snprintf(out, PATH_MAX_LENGTH, "%s/%s", folders[i], name) < PATH_MAX_LENGTH && !access(out, X_OK)) return true;
    return false;
}

void set_environment(const char *name, const char *value) { setenv(name, value, 1); }
bool random_bytes(unsigned char *out, int size) { return getrandom(out, (size_t)size, 0) == size; }
bool same_path(const char *a, const char *b) { return !strcmp(a, b); }

bool can_execute(const char *path) {
    struct statvfs disk;
    return !access(path, X_OK) && !statvfs(path, &disk) && !(disk.f_flag & ST_NOEXEC);
}

bool make_executable(const char *path) { return !chmod(path, 0700); }
const char *program_suffix(void) { return ""; }

const char *target_name(void) {
#ifdef __aarch64__
    return "linux-arm64";
#else
    return "linux-x86_64";
#endif
}

void print_text(FILE *stream, const char *text) {
    fputs(text, stream);
    fflush(stream);
}

bool is_terminal(void) { return isatty(1); }

void open_browser(const char *url) {
    char program[PATH_MAX_LENGTH];
    if ((!getenv("DISPLAY") && !getenv("WAYLAND_DISPLAY")) || !system_program("xdg-open", program)) return;
    pid_t pid = fork();
    if (!pid) {
        /* Twice forked and in a session of its own: Ctrl-C here must not close the person's browser. */
        if (fork()) _exit(0);
        setsid();
        int nowhere = open("/dev/null", O_RDWR);
        dup2(nowhere, 0), dup2(nowhere, 1), dup2(nowhere, 2);
        execl(program, program, url, (char *)NULL);
        _exit(127);
    }
    if (pid > 0) waitpid(pid, NULL, 0);
}

static void interrupt(int number) {
    (void)number;
    interrupted = 1;
}

void catch_interrupts(void) {
    struct sigaction action = {.sa_handler = interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool was_interrupted(void) { return interrupted; }

void sleep_ms(int milliseconds) {
    struct timespec time = {milliseconds / 1000, (milliseconds % 1000) * 1000000L};
    nanosleep(&time, NULL);
}

double seconds_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

char **utf8_arguments(int *argc, char **argv) {
    (void)argc;
    return argv;
}
#endif
