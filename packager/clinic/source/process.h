/* Child processes. */
#ifndef CLINIC_PROCESS_H
#define CLINIC_PROCESS_H

#include <stdbool.h>

typedef struct process process; /* a child that is stopped when this program ends, however it ends */

/* `argv` ends in NULL, argv[0] is an absolute path; output goes to the file `log`, input comes from the file `input`
 * or nowhere. */
process *start_process(char *const argv[], const char *folder, const char *log, const char *input);
bool has_ended(process *child, long *status); /* status: the exit code, or minus the signal */
void stop_process(process *child);
void free_process(process *child);
double peak_memory_gb(process *child);
double process_seconds(process *child); /* that its threads have computed, all together */
bool died_of_instruction(long status); /* the processor did not know an instruction */

#endif
