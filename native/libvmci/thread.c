/* Threads that wait on Node's behalf. Invariant: no signal of the process is ever delivered to one of them. */
#include "stream.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* The threads keep their buffers on the heap; many connections must not cost the default 8 MiB each. */
enum { STACK_BYTES = 256 * 1024 };

struct start {
    void (*body)(void *);
    void *argument;
    char name[16];
};

static void *run(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    (void)prctl(PR_SET_NAME, start.name);
    start.body(start.argument);
    return NULL;
}

static int create(struct start *start)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0) return -error;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);

    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    error = pthread_create(&thread, &attributes, run, start);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return -error;
}

int vmci_thread_start(const char *name, void (*body)(void *), void *argument)
{
    struct start *start = calloc(1, sizeof *start);
    if (start == NULL) return -ENOMEM;
    start->body = body;
    start->argument = argument;
    (void)strncpy(start->name, name, sizeof start->name - 1);
    int error = create(start);
    if (error < 0) free(start);
    return error;
}
