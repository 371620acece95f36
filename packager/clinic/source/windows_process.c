/* Windows 10 and later: see process.h. */
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define PSAPI_VERSION 2
#include <windows.h>
#include <psapi.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "process.h"
#include "wide.h"

struct process {
    HANDLE handle, job;
};

/* One argument as the C runtime of the child will read it back: quoted, with backslashes before quotes doubled. */
static size_t quote(const char *argument, char *out) {
    char *at = out;
    *at++ = '"';
    for (const char *from = argument; *from;) {
        size_t slashes = strspn(from, "\\");
        bool doubled = !from[slashes] || from[slashes] == '"';
        for (size_t i = 0; i < slashes * (doubled ? 2 : 1); i++) *at++ = '\\';
        from += slashes;
        if (*from == '"') *at++ = '\\';
        if (*from) *at++ = *from++;
    }
    *at++ = '"';
    *at++ = ' ';
    *at = 0;
    return (size_t)(at - out);
}

static HANDLE inherited_file(const char *path, bool write) {
    wchar_t name[PATH_MAX_LENGTH];
    SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
    return CreateFileW(path ? wide(path, name) : L"NUL", write ? GENERIC_WRITE : GENERIC_READ,
                       FILE_SHARE_READ | FILE_SHARE_WRITE, &inherit, write && path ? CREATE_ALWAYS : OPEN_EXISTING, 0, NULL);
}

process *start_process(char *const argv[], const char *folder, const char *log, const char *input) {
    static char line[16 * PATH_MAX_LENGTH];
    static wchar_t command[16 * PATH_MAX_LENGTH];
    wchar_t directory[PATH_MAX_LENGTH], program[PATH_MAX_LENGTH];
    size_t length = 0;
    for (int i = 0; argv[i]; i++) {
        if (length + 2 * strlen(argv[i]) + 4 > sizeof line) return NULL;
        length += quote(argv[i], line + length);
    }
    MultiByteToWideChar(CP_UTF8, 0, line, -1, command, (int)(sizeof command / sizeof *command));

    HANDLE out = inherited_file(log, true), in = inherited_file(input, false);
    STARTUPINFOW startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
    startup.hStdInput = in, startup.hStdOutput = out, startup.hStdError = out;
    PROCESS_INFORMATION started;
    /* In a group of its own: Ctrl-C reaches this program, which then stops the server. A little before other programs,
     * which needs no rights: its threads wait for each other, and the slowest one holds up all. */
    DWORD how = CREATE_NEW_PROCESS_GROUP | CREATE_SUSPENDED | ABOVE_NORMAL_PRIORITY_CLASS;
    BOOL fine = CreateProcessW(wide(argv[0], program), command, NULL, NULL, TRUE, how, NULL,
                               folder ? wide(folder, directory) : NULL, &startup, &started);
    CloseHandle(out), CloseHandle(in);
    if (!fine) return NULL;
    process *child = calloc(1, sizeof *child);
    /* The last handle to the job closes with this program, and Windows then ends the server with it. */
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limit = {.BasicLimitInformation = {.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE}};
    child->handle = started.hProcess;
    child->job = CreateJobObjectW(NULL, NULL);
    SetInformationJobObject(child->job, JobObjectExtendedLimitInformation, &limit, sizeof limit);
    AssignProcessToJobObject(child->job, child->handle);
    ResumeThread(started.hThread);
    CloseHandle(started.hThread);
    return child;
}

bool has_ended(process *child, long *status) {
    DWORD code = STILL_ACTIVE;
    bool ended = WaitForSingleObject(child->handle, 0) == WAIT_OBJECT_0;
    if (ended) GetExitCodeProcess(child->handle, &code);
    if (status) *status = (long)code;
    return ended;
}

void stop_process(process *child) {
    TerminateProcess(child->handle, 0);
    WaitForSingleObject(child->handle, 5000);
}

void free_process(process *child) {
    CloseHandle(child->handle);
    CloseHandle(child->job);
    free(child);
}

double peak_memory_gb(process *child) {
    PROCESS_MEMORY_COUNTERS used = {.cb = sizeof used};
    return K32GetProcessMemoryInfo(child->handle, &used, sizeof used) ? (double)used.PeakWorkingSetSize / 1e9 : 0;
}

double process_seconds(process *child) {
    FILETIME began, ended, kernel, user;
    return GetProcessTimes(child->handle, &began, &ended, &kernel, &user) ? seconds_of(kernel) + seconds_of(user) : 0;
}

bool died_of_instruction(long status) { return (DWORD)status == EXCEPTION_ILLEGAL_INSTRUCTION; }
#endif
