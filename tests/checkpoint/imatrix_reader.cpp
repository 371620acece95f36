// Reads a file with llama.cpp's own reader of importance matrices (common/imatrix-loader.cpp) and prints
// what it found; its logger is replaced, so that one source file and libggml are enough.
#include "imatrix-loader.h"
#include "log.h"
#include <cstdio>

int common_log_verbosity_thold = 0;
int common_log_get_verbosity_thold(void) { return 0; }
struct common_log * common_log_main() { return nullptr; }
void common_log_add(struct common_log *, enum ggml_log_level, const char * format, ...) { fputs(format, stderr); }

int main(int, char ** argv) {
    common_imatrix read;
    if (!common_imatrix_load(argv[1], read) || read.is_legacy || !read.has_metadata) return 1;
    for (auto & [name, entry] : read.entries) {
        printf("%s %lld", name.c_str(), (long long) entry.counts.at(0));
        for (float sum : entry.sums) printf(" %.9g", sum / entry.counts[0]);
        printf("\n");
    }
}
