/*
 * Listening. Invariant: one thread accepts, one more per connection pumps; the accepting thread closes the port
 * before it closes the control stream, so that its end tells the reader that the port is free again.
 */
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BACKLOG = 128,
    /* Out of descriptors or memory: the waiting peer keeps the socket readable, so look again only after a while. */
    EXHAUSTED_PAUSE_MS = 100,
};

struct listener {
    const struct vmci_family *family;
    bool refuses_unprivileged;
    bool is_exhausted;
    int outer, control;
};

struct connection {
    int outer, inner;
};

static void pump_body(void *argument)
{
    struct connection connection = *(struct connection *)argument;
    free(argument);
    vmci_pump(connection.outer, connection.inner);
}

/* Returns Node's end; `outer` is the pump's from then on. */
static int start_pump(int outer)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -errno;
    struct connection *connection = calloc(1, sizeof *connection);
    int error = connection == NULL ? -ENOMEM : 0;
    if (connection != NULL) {
        *connection = (struct connection){outer, pair[1]};
        error = vmci_thread_start("vmci-pump", pump_body, connection);
    }
    if (error < 0) {
        free(connection);
        (void)close(pair[0]);
        (void)close(pair[1]);
        return error;
    }
    return pair[0];
}

static bool is_passing(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM || error == -EAGAIN;
}

/* False when the listener must end. Exhaustion is told once, not at every look. */
static bool report_failure(struct listener *listener, int error)
{
    if (is_passing(error) && listener->is_exhausted) return true;
    listener->is_exhausted = is_passing(error);
    struct vmci_stream_record record = {.status = error};
    return vmci_send_all(listener->control, &record, sizeof record) == 0 && listener->is_exhausted;
}

static bool report_connection(struct listener *listener, int outer, struct vmci_stream_record *record)
{
    int inner = start_pump(outer);
    if (inner < 0) {
        (void)close(outer);
        return report_failure(listener, inner);
    }
    record->status = inner;
    if (vmci_send_all(listener->control, record, sizeof *record) == 0) return true;
    (void)close(inner);
    return false;
}

/* False when the listener must end. */
static bool accept_one(struct listener *listener)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    int outer = accept4(listener->outer, (struct sockaddr *)&address, &length, SOCK_CLOEXEC);
    if (outer < 0) {
        int error = errno;
        /* The peer that woke us has gone again. */
        if (error == EAGAIN || error == EINTR || error == ECONNABORTED || error == ECONNRESET) return true;
        return report_failure(listener, -error);
    }
    listener->is_exhausted = false;
    struct vmci_stream_record record = {0};
    listener->family->describe_peer(&address, &record);
    if (listener->refuses_unprivileged && record.peer_port >= VMCI_FIRST_UNPRIVILEGED_PORT) {
        (void)close(outer);
        return true;
    }
    return report_connection(listener, outer, &record);
}

static void listen_body(void *argument)
{
    struct listener listener = *(struct listener *)argument;
    free(argument);
    for (;;) {
        struct pollfd asked[2] = {
            {.fd = listener.control, .events = POLLRDHUP},
            {.fd = listener.is_exhausted ? -1 : listener.outer, .events = POLLIN},
        };
        int count = poll(asked, 2, listener.is_exhausted ? EXHAUSTED_PAUSE_MS : -1);
        if (count < 0 && errno != EINTR) break;
        if (asked[0].revents != 0) break;
        bool is_due = listener.is_exhausted || (count > 0 && asked[1].revents != 0);
        if (is_due && !accept_one(&listener)) break;
    }
    (void)close(listener.outer);
    (void)close(listener.control);
}

static int open_port(const struct vmci_family *family, const struct vmci_address *address)
{
    /* Non-blocking: a peer may be gone between the wake-up and accept. */
    int outer = socket(family->domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (outer < 0) return -errno;
    /* Where connections linger after their end, a restarted service need not wait for them. */
    (void)setsockopt(outer, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(outer, (const struct sockaddr *)&address->bytes, address->length) < 0 || listen(outer, BACKLOG) < 0) {
        int error = -errno;
        (void)close(outer);
        return error;
    }
    return outer;
}

static int start_listener(struct listener *listener)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -errno;
    listener->control = pair[1];
    int error = vmci_thread_start("vmci-listen", listen_body, listener);
    if (error == 0) return pair[0];
    (void)close(pair[0]);
    (void)close(pair[1]);
    return error;
}

int vmci_stream_listen(const struct vmci_family *family, const struct vmci_address *address,
                       bool refuses_unprivileged)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) return -ENOMEM;
    *listener = (struct listener){.family = family, .refuses_unprivileged = refuses_unprivileged};
    int outer = listener->outer = open_port(family, address);
    int control = outer < 0 ? outer : start_listener(listener);
    if (control < 0) {
        if (outer >= 0) (void)close(outer);
        free(listener);
    }
    return control;
}
