/* Linux: see platform.h. */
#ifndef _WIN32
#define _GNU_SOURCE
#include "platform.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct process {
    pid_t pid;
    bool ended;
    long status;
};

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
    if (size >= PATH_MAX_LENGTH || (mkdir(out, 0700) && errno != EEXIST)) return false;
    /* Anybody may write to /tmp: one that another user laid there is not ours. */
    return !lstat(out, &info) && S_ISDIR(info.st_mode) && info.st_uid == getuid() && !(info.st_mode & 077);
}

bool hold(const char *lock) {
    struct stat held, named;
    int handle = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (handle < 0) return false;
    /* Another one may have removed the file, and the folder, between our opening and our holding it. */
    if (!flock(handle, LOCK_EX | LOCK_NB) && !fstat(handle, &held) && !stat(lock, &named) && held.st_ino == named.st_ino)
        return true; /* the handle stays open, and the lock with it, even if this program is killed */
    close(handle);
    return false;
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

bool died_of_instruction(long status) { return status == -SIGILL || status == 128 + SIGILL; }

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

void start_network(void) {}

static struct sockaddr_in local_address(int port, bool everywhere) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(everywhere ? INADDR_ANY : INADDR_LOOPBACK);
    return address;
}

int unused_port(void) {
    struct sockaddr_in address = local_address(0, false);
    socklen_t size = sizeof address;
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool fine = handle >= 0 && !bind(handle, (struct sockaddr *)&address, size)
                && !getsockname(handle, (struct sockaddr *)&address, &size);
    if (handle >= 0) close(handle);
    return fine ? ntohs(address.sin_port) : 0;
}

void do_not_block(long socket) { fcntl((int)socket, F_SETFL, O_NONBLOCK); }

long listen_on(int port, bool everywhere) {
    struct sockaddr_in address = local_address(port, everywhere);
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    /* Linux: a port that only waits for its last connections to expire is free; one that is listened on is not. */
    setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (handle >= 0 && !bind(handle, (struct sockaddr *)&address, sizeof address) && !listen(handle, 32)) {
        do_not_block(handle);
        return handle;
    }
    if (handle >= 0) close(handle);
    return -1;
}

long accept_from(long listener) { return accept4((int)listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

void wait_for_sockets(waiting *all, int count, int milliseconds) {
    struct pollfd polled[256];
    for (int i = 0; i < count; i++)
        polled[i] = (struct pollfd){(int)all[i].socket, (short)((all[i].want_read ? POLLIN : 0) | (all[i].want_write ? POLLOUT : 0)), 0};
    bool any = poll(polled, (nfds_t)count, milliseconds) > 0;
    for (int i = 0; i < count; i++) {
        all[i].can_read = any && (polled[i].revents & (POLLIN | POLLHUP | POLLERR));
        all[i].can_write = any && (polled[i].revents & (POLLOUT | POLLHUP | POLLERR));
    }
}

bool would_block(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

long connect_local(int port, int timeout_seconds) {
    struct sockaddr_in address = local_address(port, false);
    struct timeval timeout = {timeout_seconds, 0};
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (handle < 0) return -1;
    setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (connect(handle, (struct sockaddr *)&address, sizeof address)) {
        close(handle);
        return -1;
    }
    return handle;
}

long send_bytes(long socket, const char *data, long size) { return (long)send((int)socket, data, (size_t)size, 0); }
long receive_bytes(long socket, char *data, long size) { return (long)recv((int)socket, data, (size_t)size, 0); }
void close_socket(long socket) { close((int)socket); }

void each_address(void (*seen)(const char *address, void *data), void *data) {
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all)) return;
    for (struct ifaddrs *one = all; one; one = one->ifa_next) {
        char text[INET_ADDRSTRLEN];
        if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET || (one->ifa_flags & IFF_LOOPBACK)) continue;
        struct sockaddr_in *address = (struct sockaddr_in *)(void *)one->ifa_addr;
        if (inet_ntop(AF_INET, &address->sin_addr, text, sizeof text)) seen(text, data);
    }
    freeifaddrs(all);
}

char **utf8_arguments(int *argc, char **argv) {
    (void)argc;
    return argv;
}
#endif
