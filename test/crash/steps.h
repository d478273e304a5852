/* What `calls.c` tells of each call, and `steps.c` makes of it. Nothing here changes errno. */
#ifndef CRASH_STEPS_H
#define CRASH_STEPS_H

#include <stdbool.h>

/* The step, if any, is counted and may be the process's end. */
void crash_step(const char *call, const char *what);
/* The last step of this name did not come to pass, and will be tried again. */
void crash_take_back(const char *name);
void crash_at_path(const char *call, int folder, const char *path);
/* `socket_call` is the step's name when the descriptor is a socket; NULL when it is no step then. */
void crash_at_descriptor(const char *call, const char *socket_call, int descriptor);
void crash_at_pair(const char *call, int from_folder, const char *from, int to_folder, const char *to);
/* What the path is for; false when it is of no interest. */
bool crash_role(int folder, const char *path, char *role);

/* The C library's own syscall(2). */
long direct(long number, long a, long b, long c, long d, long e, long f);

#endif
