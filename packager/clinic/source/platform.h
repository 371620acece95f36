/* What differs between Linux and Windows, with process.h and network.h: one header, two implementations. Text and
 * paths are UTF-8 everywhere; folders are separated by '/'. */
#ifndef CLINIC_PLATFORM_H
#define CLINIC_PLATFORM_H

#include <stdbool.h>
#include <stdio.h>

enum { PATH_MAX_LENGTH = 2048 };

typedef void (*file_seen)(const char *relative, bool regular, void *data);
typedef void (*folder_seen)(const char *name, void *data);

/* The machine. Gigabytes are 10^9 bytes; a value that cannot be told is 0. */
int physical_cores(void);
double computed_seconds(void); /* by all programs on all processors since it was switched on */
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
bool still_held(const char *lock);                /* it is the file that `hold` took, and was not removed since */
void keep_fresh(const char *path);                /* as if it had just been written: systems remove what is old */
bool can_execute(const char *path); /* false on a stick that is mounted without the right to run programs */
bool make_executable(const char *path);
const char *program_suffix(void);
const char *target_name(void); /* the folder in runtime/ with this machine's programs */

/* Programs of the system by absolute path: never from the stick, the working directory or a search path. */
bool system_program(const char *name, char *out);
void set_environment(const char *name, const char *value); /* for the processes started from now on */
bool random_bytes(unsigned char *out, int size);
bool same_path(const char *a, const char *b);

/* The person in front. */
void print_text(FILE *stream, const char *text);
bool is_terminal(void);
void open_browser(const char *url);
void catch_interrupts(void);
bool was_interrupted(void);
void sleep_ms(int milliseconds);
double seconds_now(void);

/* Arguments as UTF-8 (Windows passes them in another encoding). */
char **utf8_arguments(int *argc, char **argv);

#endif
