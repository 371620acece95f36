/* Windows 10 and later: see platform.h. Every path goes through the wide functions, so that a user's name may
 * have accents. */
#ifdef _WIN32
#define _CRT_RAND_S
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <shellapi.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "wide.h"

static volatile LONG interrupted;

wchar_t *wide(const char *text, wchar_t *out) {
    if (!MultiByteToWideChar(CP_UTF8, 0, text, -1, out, PATH_MAX_LENGTH)) out[0] = 0;
    return out;
}

static char *narrow(const wchar_t *text, char *out) {
    if (!WideCharToMultiByte(CP_UTF8, 0, text, -1, out, PATH_MAX_LENGTH, NULL, NULL)) out[0] = 0;
    for (char *at = out; *at; at++) if (*at == '\\') *at = '/';
    return out;
}

int physical_cores(void) {
    DWORD size = 0;
    int cores = 0;
    GetLogicalProcessorInformation(NULL, &size);
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION *all = malloc(size ? size : 1);
    if (all && size && GetLogicalProcessorInformation(all, &size))
        for (DWORD i = 0; i < size / sizeof *all; i++) cores += all[i].Relationship == RelationProcessorCore;
    free(all);
    return cores ? cores : 1;
}

/* Windows counts in units of 100 nanoseconds. */
double seconds_of(FILETIME time) { return ((double)time.dwHighDateTime * 4294967296.0 + time.dwLowDateTime) / 1e7; }

double computed_seconds(void) {
    FILETIME idle, kernel, user; /* `kernel` holds `idle` */
    return GetSystemTimes(&idle, &kernel, &user) ? seconds_of(kernel) + seconds_of(user) - seconds_of(idle) : 0;
}

static MEMORYSTATUSEX memory(void) {
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    GlobalMemoryStatusEx(&status);
    return status;
}

double memory_total_gb(void) { return (double)memory().ullTotalPhys / 1e9; }
double memory_available_gb(void) { return (double)memory().ullAvailPhys / 1e9; }

double disk_free_gb(const char *folder) {
    wchar_t path[PATH_MAX_LENGTH];
    ULARGE_INTEGER available;
    return GetDiskFreeSpaceExW(wide(folder, path), &available, NULL, NULL) ? (double)available.QuadPart / 1e9 : 0;
}

FILE *open_file(const char *path, const char *mode) {
    wchar_t name[PATH_MAX_LENGTH], how[PATH_MAX_LENGTH];
    return _wfopen(wide(path, name), wide(mode, how));
}

bool is_file(const char *path) {
    wchar_t name[PATH_MAX_LENGTH];
    DWORD attributes = GetFileAttributesW(wide(path, name));
    return attributes != INVALID_FILE_ATTRIBUTES && !(attributes & FILE_ATTRIBUTE_DIRECTORY);
}

long long file_size(const char *path) {
    wchar_t name[PATH_MAX_LENGTH];
    WIN32_FILE_ATTRIBUTE_DATA info;
    if (!GetFileAttributesExW(wide(path, name), GetFileExInfoStandard, &info)) return -1;
    return ((long long)info.nFileSizeHigh << 32) | info.nFileSizeLow;
}

static HANDLE first_entry(const char *folder, WIN32_FIND_DATAW *entry) {
    char pattern[PATH_MAX_LENGTH];
    wchar_t path[PATH_MAX_LENGTH];
    snprintf(pattern, sizeof pattern, "%s/*", folder);
    return FindFirstFileW(wide(pattern, path), entry);
}

static bool is_dots(const wchar_t *name) { return !wcscmp(name, L".") || !wcscmp(name, L".."); }

static void walk(const char *root, const char *below, file_seen seen, void *data) {
    char path[PATH_MAX_LENGTH], name[PATH_MAX_LENGTH], relative[PATH_MAX_LENGTH];
    WIN32_FIND_DATAW entry;
    snprintf(path, sizeof path, "%s%s%s", root, *below ? "/" : "", below);
    HANDLE search = first_entry(path, &entry);
    if (search == INVALID_HANDLE_VALUE) return;
    do {
        if (is_dots(entry.cFileName)) continue;
        bool link = entry.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT;
        if (snprintf(relative, sizeof relative, "%s%s%s", below, *below ? "/" : "", narrow(entry.cFileName, name))
            >= (int)sizeof relative) {
            seen(name, false, data);
        } else if ((entry.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) && !link) {
            walk(root, relative, seen, data);
        } else {
            seen(relative, !(entry.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY), data);
        }
    } while (FindNextFileW(search, &entry));
    FindClose(search);
}

void each_file(const char *root, file_seen seen, void *data) { walk(root, "", seen, data); }

void each_folder(const char *root, folder_seen seen, void *data) {
    char name[PATH_MAX_LENGTH];
    WIN32_FIND_DATAW entry;
    HANDLE search = first_entry(root, &entry);
    if (search == INVALID_HANDLE_VALUE) return;
    do {
        if ((entry.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) && entry.cFileName[0] != L'.')
            seen(narrow(entry.cFileName, name), data);
    } while (FindNextFileW(search, &entry));
    FindClose(search);
}

bool absolute_path(const char *path, char *out) {
    wchar_t name[PATH_MAX_LENGTH], full[PATH_MAX_LENGTH];
    DWORD length = GetFullPathNameW(wide(path, name), PATH_MAX_LENGTH, full, NULL);
    if (!length || length >= PATH_MAX_LENGTH) return false;
    length = (DWORD)strlen(narrow(full, out));
    while (length > 3 && out[length - 1] == '/') out[--length] = 0; /* but "E:/" stays */
    return true;
}

bool make_temporary_folder(char *out) {
    wchar_t base[PATH_MAX_LENGTH], path[PATH_MAX_LENGTH];
    char text[PATH_MAX_LENGTH];
    if (!GetTempPathW(PATH_MAX_LENGTH, base)) return false;
    snprintf(out, PATH_MAX_LENGTH, "%sassistente-%lu", narrow(base, text), GetCurrentProcessId());
    return CreateDirectoryW(wide(out, path), NULL) || GetLastError() == ERROR_ALREADY_EXISTS;
}

static void remove_one(const char *relative, bool regular, void *folder) {
    char path[PATH_MAX_LENGTH];
    wchar_t name[PATH_MAX_LENGTH];
    (void)regular;
    snprintf(path, sizeof path, "%s/%s", (const char *)folder, relative);
    DeleteFileW(wide(path, name));
}

void remove_temporary_folder(const char *folder) {
    wchar_t name[PATH_MAX_LENGTH];
    each_file(folder, remove_one, (void *)(size_t)folder);
    RemoveDirectoryW(wide(folder, name));
}

void remove_file(const char *path) {
    wchar_t name[PATH_MAX_LENGTH];
    DeleteFileW(wide(path, name));
}

bool private_folder(const char *name, char *out) {
    wchar_t base[PATH_MAX_LENGTH], path[PATH_MAX_LENGTH];
    char text[PATH_MAX_LENGTH];
    if (!GetTempPathW(PATH_MAX_LENGTH, base)) return false; /* each user has one of their own */
    if (snprintf(out, PATH_MAX_LENGTH, "%sassistente-%s", narrow(base, text), name) >= PATH_MAX_LENGTH) return false;
    return CreateDirectoryW(wide(out, path), NULL) || GetLastError() == ERROR_ALREADY_EXISTS;
}

bool hold(const char *lock) {
    wchar_t name[PATH_MAX_LENGTH];
    /* Nobody else may open it while this program runs, however it ends; it goes with it. */
    return CreateFileW(wide(lock, name), GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_ALWAYS,
                       FILE_ATTRIBUTE_NORMAL | FILE_FLAG_DELETE_ON_CLOSE, NULL) != INVALID_HANDLE_VALUE;
}

bool still_held(const char *lock) { return is_file(lock); } /* nobody else can remove it */

void keep_fresh(const char *path) {
    wchar_t name[PATH_MAX_LENGTH];
    FILETIME now;
    HANDLE file = CreateFileW(wide(path, name), FILE_WRITE_ATTRIBUTES, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                              NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (file == INVALID_HANDLE_VALUE) return;
    GetSystemTimeAsFileTime(&now);
    SetFileTime(file, NULL, &now, &now);
    CloseHandle(file);
}

bool system_program(const char *name, char *out) {
    wchar_t folder[PATH_MAX_LENGTH];
    char text[PATH_MAX_LENGTH];
    UINT length = GetSystemDirectoryW(folder, PATH_MAX_LENGTH);
    if (!length || length >= PATH_MAX_LENGTH) return false;
    return snprintf(out, PATH_MAX_LENGTH, "%s/OpenSSH/%s.exe", narrow(folder, text), name) < PATH_MAX_LENGTH && is_file(out);
}

void set_environment(const char *name, const char *value) {
    wchar_t wide_name[PATH_MAX_LENGTH], wide_value[PATH_MAX_LENGTH];
    SetEnvironmentVariableW(wide(name, wide_name), wide(value, wide_value));
}

bool random_bytes(unsigned char *out, int size) {
    unsigned number;
    for (int i = 0; i < size; i++) {
        if (rand_s(&number)) return false;
        out[i] = (unsigned char)number;
    }
    return true;
}

bool same_path(const char *a, const char *b) { return !_stricmp(a, b); }

bool can_execute(const char *path) { return is_file(path); }
bool make_executable(const char *path) { return is_file(path); }
const char *program_suffix(void) { return ".exe"; }
const char *target_name(void) { return "windows-x86_64"; }

void print_text(FILE *stream, const char *text) {
    static wchar_t converted[8 * PATH_MAX_LENGTH];
    HANDLE console = GetStdHandle(stream == stderr ? STD_ERROR_HANDLE : STD_OUTPUT_HANDLE);
    DWORD mode, written;
    int length = MultiByteToWideChar(CP_UTF8, 0, text, -1, converted, (int)(sizeof converted / sizeof *converted));
    if (length > 0 && GetConsoleMode(console, &mode)) {
        WriteConsoleW(console, converted, (DWORD)length - 1, &written, NULL); /* accents whatever the code page */
    } else {
        fputs(text, stream);
        fflush(stream);
    }
}

bool is_terminal(void) { return _isatty(1); }

void open_browser(const char *url) {
    wchar_t address[PATH_MAX_LENGTH];
    ShellExecuteW(NULL, L"open", wide(url, address), NULL, NULL, SW_SHOWNORMAL);
}

static BOOL WINAPI interrupt(DWORD event) {
    InterlockedExchange(&interrupted, 1);
    /* After the window was closed Windows waits for this function, at most five seconds. */
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) Sleep(4000);
    return TRUE;
}

void catch_interrupts(void) { SetConsoleCtrlHandler(interrupt, TRUE); }
bool was_interrupted(void) { return interrupted; }
void sleep_ms(int milliseconds) { Sleep((DWORD)milliseconds); }
double seconds_now(void) { return (double)GetTickCount64() / 1000; }

char **utf8_arguments(int *argc, char **argv) {
    wchar_t **given = CommandLineToArgvW(GetCommandLineW(), argc);
    if (!given) return argv;
    char **converted = calloc((size_t)*argc + 1, sizeof *converted);
    for (int i = 0; converted && i < *argc; i++) {
        int size = WideCharToMultiByte(CP_UTF8, 0, given[i], -1, NULL, 0, NULL, NULL);
        converted[i] = malloc((size_t)size + 1);
        WideCharToMultiByte(CP_UTF8, 0, given[i], -1, converted[i], size, NULL, NULL);
    }
    LocalFree(given);
    return converted ? converted : argv;
}
#endif
