/* Windows has no mmap; e5.c compiles with this and is given its model in memory (e5_load_mem). */
#ifndef KNOWLEDGE_MMAN_H
#define KNOWLEDGE_MMAN_H
#include <stddef.h>
#define PROT_READ 1
#define MAP_PRIVATE 2
#define MAP_FAILED ((void *)-1)
static inline void *mmap(void *at, size_t size, int protection, int flags, int file, long offset) {
    (void)at; (void)size; (void)protection; (void)flags; (void)file; (void)offset;
    return MAP_FAILED;
}
static inline int munmap(void *at, size_t size) { (void)at; (void)size; return 0; }
#endif
