/*
 * In the test guest: whoever connects to this vsock port, its first argument, talks to the Unix socket that is its
 * second. So a program of the guest can be asked from outside, with next to none of the guest's slow processors.
 *
 * Invariants: bytes and their end are passed on in each direction by itself; both descriptors of a connection are closed
 * when both directions have ended; nothing is listened to outside of a test guest, where CID 2 is somebody else's host.
 */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PIECE_BYTES = 32 * 1024, STACK_BYTES = 128 * 1024, BACKLOG = 128 };

struct connection {
    int ends[2];
    atomic_int directions; /* that have not ended */
};

struct direction {
    struct connection *connection;
    int from, to;
};

static struct sockaddr_un inner_address = {.sun_family = AF_UNIX};

static _Noreturn void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static int send_all(int to, const char *bytes, size_t length)
{
    for (size_t sent = 0; sent < length;) {
        ssize_t count = send(to, bytes + sent, length - sent, MSG_NOSIGNAL);
        if (count < 0) return -1;
        sent += (size_t)count;
    }
    return 0;
}

static void *pass_on(void *argument)
{
    struct direction direction = *(struct direction *)argument;
    char piece[PIECE_BYTES];
    ssize_t count;
    free(argument);
    while ((count = recv(direction.from, piece, sizeof piece, 0)) > 0)
        if (send_all(direction.to, piece, (size_t)count) < 0) break;
    /* Of a connection that was cut, the other direction is over too. */
    if (count != 0) (void)shutdown(direction.from, SHUT_RDWR);
    (void)shutdown(direction.to, count == 0 ? SHUT_WR : SHUT_RDWR);
    if (atomic_fetch_sub(&direction.connection->directions, 1) > 1) return NULL;
    (void)close(direction.from);
    (void)close(direction.to);
    free(direction.connection);
    return NULL;
}

static void start(struct connection *connection, int from, int to, const pthread_attr_t *attributes)
{
    struct direction *direction = malloc(sizeof *direction);
    pthread_t thread;
    if (direction == NULL) give_up("malloc");
    *direction = (struct direction){connection, from, to};
    errno = pthread_create(&thread, attributes, pass_on, direction);
    if (errno != 0) give_up("pthread_create");
}

static void serve(int outer, const pthread_attr_t *attributes)
{
    int inner = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct connection *connection = malloc(sizeof *connection);
    if (inner < 0 || connection == NULL) give_up("socket");
    if (connect(inner, (struct sockaddr *)&inner_address, sizeof inner_address) < 0) {
        /* The program does not run, which the outside sees by the end of its connection. */
        free(connection);
        (void)close(inner);
        (void)close(outer);
        return;
    }
    atomic_init(&connection->directions, 2);
    start(connection, outer, inner, attributes);
    start(connection, inner, outer, attributes);
}

int main(int count, char **arguments)
{
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY};
    pthread_attr_t attributes;
    if (count != 3 || strlen(arguments[2]) >= sizeof inner_address.sun_path) return 2;
    if (access("/etc/test-guest-modules", F_OK) < 0) give_up("this runs in a test guest only");
    address.svm_port = (unsigned)strtoul(arguments[1], NULL, 10);
    (void)memcpy(inner_address.sun_path, arguments[2], strlen(arguments[2]));
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0) give_up("bind");
    if (listen(listener, BACKLOG) < 0) give_up("listen");
    (void)puts("listening");
    (void)fflush(stdout);
    for (;;) {
        int outer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (outer >= 0) serve(outer, &attributes);
        else if (errno != EINTR && errno != ECONNABORTED) give_up("accept");
    }
}
