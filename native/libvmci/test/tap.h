/* A test program in C that speaks TAP. Invariant: a failed check ends its test, counts, and makes the program exit 1. */
#ifndef VMCI_TAP_H
#define VMCI_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ends the running test when `actual` is not `expected`, and prints both. */
#define EXPECT(actual, expected) tap_expect((actual), (expected), #actual, __FILE__, __LINE__)
#define EXPECT_TRUE(claim) tap_expect((claim) ? 1 : 0, 1, #claim, __FILE__, __LINE__)

void tap_expect(int64_t actual, int64_t expected, const char *text, const char *file, int line);
void tap_run(const char *title, void (*body)(void));

/* Runs a command that must succeed, its output hidden. */
void tap_command(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A path in this program's own temporary folder; the buffer lives until the next but seven calls. */
const char *tap_path(const char *name);
/* A sparse file there of that size. */
const char *tap_file(const char *name, int64_t size_bytes);
/* Ends the test unless all threads of the library and all descriptors beyond `descriptors` are gone in due time. */
void tap_expect_quiet(int64_t descriptors);
int64_t tap_count_descriptors(void);

void stream_tests(void);
void disk_tests(void);
void file_tests(void);
void child_tests(void);
void local_tests(void);

#endif
