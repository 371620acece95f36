/* What differs between Linux and Windows: one header, two implementations. Text and paths are UTF-8 everywhere;
 * folders are separated by '/'. */
#ifndef CLINIC_PLATFORM_H
#define CLINIC_PLATFORM_H

#include <stdbool.h>
#include <stdio.h>

enum { PATH_MAX_LENGTH = 2048 };

typedef struct process process; /* a child that is stopped when this program ends, however it ends */

typedef void (*file_seen)(const char *relative, bool regular, void *data);
typedef void (*folder_seen)(const char *name, void *data);

/* The machine. Gigabytes are 10^9 bytes; a value that cannot be told is 0. */
int physical_cores(void);
double memory_total_gb(void);
double memory_available_gb(void);
double disk_free_gb(const char *folder);

/* Files. */
FILE *open_file(const char *path, const char *mode);
bool is_file(const char *path);
long long file_size(const char *path);
void each_file(const char *root, file_seen seen, void *data);   /* everything below, by its path relative to root */
void each_folder(const char *root, folder_seen seen, void *data); /* the folders directly in it */
bool absolute_path(const char *path, char *out);
bool make_temporary_folder(char *out);
void remove_temporary_folder(const char *folder); /* with the files in it */
void remove_file(const char *path);
bool private_folder(const char *name, char *out); /* of this user alone, made if it is not there */
bool hold(const char *lock);                      /* an exclusive lock on a file until this program ends, or false */
bool can_execute(const char *path); /* false on a stick that is mounted without the right to run programs */
bool make_executable(const char *path);
const char *program_suffix(void);
const char *target_name(void); /* the folder in runtime/ with this machine's programs */

/* Programs of the system by absolute path: never from the stick, the working directory or a search path. */
bool system_program(const char *name, char *out);
void set_environment(const char *name, const char *value); /* for the processes started from now on */
bool random_bytes(unsigned char *out, int size);
bool same_path(const char *a, const char *b);

/* Processes. `argv` ends in NULL, argv[0] is an absolute path; output goes to the file `log`, input comes from the file `input` or nowhere. */
process *start_process(char *const argv[], const char *folder, const char *log, const char *input);
bool has_ended(process *child, long *status); /* status: the exit code, or minus the signal */
void stop_process(process *child);
void free_process(process *child);
double peak_memory_gb(process *child);
bool died_of_instruction(long status); /* the processor did not know an instruction */

/* The person in front. */
void print_text(FILE *stream, const char *text);
bool is_terminal(void);
void open_browser(const char *url);
void catch_interrupts(void);
bool was_interrupted(void);
void sleep_ms(int milliseconds);
double seconds_now(void);

/* The network, 127.0.0.1 only except for each_address and listening `everywhere`. Sockets that listen or were
 * accepted do not block: `receive_bytes` and `send_bytes` then give -1, and `would_block` says why. */
typedef struct {
    long socket;
    bool want_read, want_write, can_read, can_write;
} waiting;

void start_network(void);
int unused_port(void);
long listen_on(int port, bool everywhere); /* -1: another program has it; nobody else can have it meanwhile */
long accept_from(long listener);
void wait_for_sockets(waiting *all, int count, int milliseconds);
bool would_block(void);
void do_not_block(long socket);
long connect_local(int port, int timeout_seconds); /* -1: nobody listens */
long send_bytes(long socket, const char *data, long size);
long receive_bytes(long socket, char *data, long size);
void close_socket(long socket);
void each_address(void (*seen)(const char *address, void *data), void *data); /* how other machines reach this one */

/* Arguments as UTF-8 (Windows passes them in another encoding). */
char **utf8_arguments(int *argc, char **argv);

#endif
