/* Reading JSON where it lies: a value is a pointer to its first character in the text. NULL is "not there". */
#ifndef CLINIC_JSON_H
#define CLINIC_JSON_H

const char *json_member(const char *object, const char *key);
const char *json_item(const char *array, int index);
char *json_text(const char *value); /* a string, decoded, or NULL; the caller frees it */
char *json_raw(const char *value);  /* a value as it is written, "" when not there; the caller frees it */
double json_number(const char *value, double otherwise);
char *read_whole(const char *path); /* a file as text, or NULL; the caller frees it */

#endif
