/* Dial, listen and pump, over loopback addresses. Each test leaves no thread and no descriptor behind. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "loopback.h"
#include "tap.h"

enum { TRANSFER_BYTES = 8 * 1024 * 1024, LIMIT_MS = 5000 };

static struct vmci_stream_record read_record(int descriptor)
{
    struct vmci_stream_record record;
    memset(&record, 0xff, sizeof record);
    EXPECT(recv(descriptor, &record, sizeof record, MSG_WAITALL), sizeof record);
    return record;
}

/* A port that is free now, as text: others may run the same tests on this machine. */
static const char *free_port(void)
{
    static char text[8];
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    int port = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(bind(port, (struct sockaddr *)&address, length), 0);
    EXPECT(getsockname(port, (struct sockaddr *)&address, &length), 0);
    (void)close(port);
    (void)snprintf(text, sizeof text, "%d", ntohs(address.sin_port));
    return text;
}

struct ends {
    int control, dialled, accepted;
};

static struct ends connected(const char *address)
{
    struct ends ends;
    ends.control = (int)vmci_loopback_listen(address, 0);
    EXPECT_TRUE(ends.control >= 0);
    ends.dialled = (int)vmci_loopback_dial(address, 0, LIMIT_MS);
    EXPECT(read_record(ends.dialled).status, 0);
    ends.accepted = read_record(ends.control).status;
    EXPECT_TRUE(ends.accepted >= 0);
    return ends;
}

static void close_all(const struct ends *ends)
{
    (void)close(ends->dialled);
    (void)close(ends->accepted);
    (void)close(ends->control);
}

static char byte_at(size_t offset)
{
    return (char)((offset * 2654435761U) >> 13);
}

static void *send_much(void *argument)
{
    int descriptor = *(int *)argument;
    static char bytes[TRANSFER_BYTES];
    for (size_t offset = 0; offset < sizeof bytes; offset++) bytes[offset] = byte_at(offset);
    for (size_t sent = 0; sent < sizeof bytes;) {
        ssize_t count = send(descriptor, bytes + sent, sizeof bytes - sent, MSG_NOSIGNAL);
        if (count <= 0) break;
        sent += (size_t)count;
    }
    (void)shutdown(descriptor, SHUT_WR);
    return NULL;
}

static void expect_much(int descriptor)
{
    char *bytes = malloc(TRANSFER_BYTES + 1);
    size_t length = 0;
    for (ssize_t count = 1; count > 0 && length <= TRANSFER_BYTES; length += (size_t)(count > 0 ? count : 0))
        count = recv(descriptor, bytes + length, TRANSFER_BYTES + 1 - length, 0);
    bool is_same = length == TRANSFER_BYTES;
    for (size_t offset = 0; is_same && offset < length; offset++) is_same = bytes[offset] == byte_at(offset);
    free(bytes);
    EXPECT((int64_t)length, TRANSFER_BYTES);
    EXPECT_TRUE(is_same);
}

static void carries_both_ways(void)
{
    int64_t before = tap_count_descriptors();
    struct ends ends = connected(tap_path("both"));
    pthread_t threads[2];
    (void)pthread_create(&threads[0], NULL, send_much, &ends.dialled);
    (void)pthread_create(&threads[1], NULL, send_much, &ends.accepted);
    expect_much(ends.accepted);
    expect_much(ends.dialled);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    close_all(&ends);
    tap_expect_quiet(before);
}

static void keeps_half_open(void)
{
    int64_t before = tap_count_descriptors();
    struct ends ends = connected(free_port());
    char byte = 'x';
    EXPECT(send(ends.dialled, &byte, 1, 0), 1);
    EXPECT(shutdown(ends.dialled, SHUT_WR), 0);
    EXPECT(recv(ends.accepted, &byte, 1, 0), 1);
    EXPECT(recv(ends.accepted, &byte, 1, 0), 0);
    EXPECT(send(ends.accepted, "y", 1, MSG_NOSIGNAL), 1);
    EXPECT(recv(ends.dialled, &byte, 1, 0), 1);
    EXPECT(byte, 'y');
    close_all(&ends);
    tap_expect_quiet(before);
}

static void ends_with_a_cut(void)
{
    int64_t before = tap_count_descriptors();
    struct ends ends = connected(tap_path("cut"));
    char byte;
    (void)close(ends.accepted);
    EXPECT(recv(ends.dialled, &byte, 1, 0), 0);
    (void)close(ends.dialled);
    (void)close(ends.control);
    tap_expect_quiet(before);
}

/* Fills every buffer between a dialled stream and a peer that reads nothing, and closes the stream. */
static int64_t abandon(const char *address, int *peer)
{
    struct sockaddr_un named = {.sun_family = AF_UNIX};
    (void)snprintf(named.sun_path, sizeof named.sun_path, "%s", address);
    int port = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(bind(port, (struct sockaddr *)&named, sizeof named), 0);
    EXPECT(listen(port, 1), 0);
    int dialled = (int)vmci_loopback_dial(address, 0, LIMIT_MS);
    *peer = accept(port, NULL, NULL);
    (void)close(port);
    EXPECT(read_record(dialled).status, 0);
    static char bytes[64 * 1024];
    int64_t sent = 0;
    /* The pump goes on draining for a moment: only a lasting refusal means that all buffers are full. */
    for (struct pollfd asked = {.fd = dialled, .events = POLLOUT}; poll(&asked, 1, 200) > 0;) {
        ssize_t count = send(dialled, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0) sent += count;
    }
    (void)close(dialled);
    return sent;
}

static void delivers_after_the_close(void)
{
    int64_t before = tap_count_descriptors();
    int peer;
    int64_t sent = abandon(tap_path("late"), &peer), received = 0;
    char bytes[4096];
    for (ssize_t count; (count = recv(peer, bytes, sizeof bytes, 0)) > 0;) received += count;
    EXPECT(received, sent);
    (void)close(peer);
    tap_expect_quiet(before);
}

static void ends_after_lingering(void)
{
    int64_t before = tap_count_descriptors();
    int peer;
    EXPECT_TRUE(abandon(tap_path("linger"), &peer) > 0);
    tap_expect_quiet(before + 1);
    (void)close(peer);
}

static void tells_refusal(void)
{
    int64_t before = tap_count_descriptors();
    int dialled = (int)vmci_loopback_dial(free_port(), 0, LIMIT_MS);
    EXPECT(read_record(dialled).status, -ECONNREFUSED);
    char byte;
    EXPECT(recv(dialled, &byte, 1, 0), 0);
    (void)close(dialled);
    dialled = (int)vmci_loopback_dial(tap_path("nobody"), 0, LIMIT_MS);
    EXPECT(read_record(dialled).status, -ENOENT);
    (void)close(dialled);
    tap_expect_quiet(before);
}

static void keeps_its_deadline_and_is_cancelled(void)
{
    int64_t before = tap_count_descriptors();
    const char *port = free_port();
    int deaf = (int)vmci_loopback_deaf((uint32_t)strtoul(port, NULL, 10));
    int queued[2] = {(int)vmci_loopback_dial(port, 0, LIMIT_MS), (int)vmci_loopback_dial(port, 0, LIMIT_MS)};
    int dialled = (int)vmci_loopback_dial(port, 0, 100);
    EXPECT(read_record(dialled).status, -ETIMEDOUT);
    (void)close(dialled);
    (void)close(queued[0]);
    (void)close(queued[1]);
    dialled = (int)vmci_loopback_dial(port, 0, 600000);
    (void)close(dialled);
    tap_expect_quiet(before + 1);
    (void)close(deaf);
}

static void proves_privilege(void)
{
    int64_t before = tap_count_descriptors();
    const char *port = free_port();
    int control = (int)vmci_loopback_listen(port, 1);
    int plain = (int)vmci_loopback_dial(port, 0, LIMIT_MS);
    EXPECT(read_record(plain).status, 0);
    char byte;
    EXPECT(recv(plain, &byte, 1, 0), 0);
    int first = (int)vmci_loopback_dial(port, 1, LIMIT_MS), second = (int)vmci_loopback_dial(port, 1, LIMIT_MS);
    struct vmci_stream_record one = read_record(control), other = read_record(control);
    EXPECT_TRUE(one.status >= 0 && one.peer_port < 1024 && one.peer_cid == INADDR_LOOPBACK);
    EXPECT_TRUE(other.status >= 0 && other.peer_port < 1024 && other.peer_port != one.peer_port);
    int opened[] = {plain, first, second, one.status, other.status, control};
    for (size_t index = 0; index < sizeof opened / sizeof *opened; index++) (void)close(opened[index]);
    tap_expect_quiet(before);
}

static void frees_its_port(void)
{
    int64_t before = tap_count_descriptors();
    const char *address = tap_path("port");
    struct ends ends = connected(address);
    EXPECT(shutdown(ends.control, SHUT_WR), 0);
    char byte;
    EXPECT(recv(ends.control, &byte, 1, 0), 0);
    int late = (int)vmci_loopback_dial(address, 0, LIMIT_MS);
    EXPECT(read_record(late).status, -ECONNREFUSED);
    (void)close(late);
    EXPECT(vmci_loopback_listen(address, 0), -EADDRINUSE);
    EXPECT(send(ends.dialled, "z", 1, 0), 1);
    EXPECT(recv(ends.accepted, &byte, 1, 0), 1);
    close_all(&ends);
    tap_expect_quiet(before);
}

static void serves_many(void)
{
    enum { MANY = 100 };
    int64_t before = tap_count_descriptors();
    const char *address = tap_path("many");
    int control = (int)vmci_loopback_listen(address, 0), dialled[MANY], accepted[MANY];
    for (int index = 0; index < MANY; index++) dialled[index] = (int)vmci_loopback_dial(address, 0, LIMIT_MS);
    for (int index = 0; index < MANY; index++) {
        accepted[index] = read_record(control).status;
        EXPECT_TRUE(accepted[index] >= 0);
        EXPECT(read_record(dialled[index]).status, 0);
    }
    for (int index = 0; index < MANY; index++) (void)close(index % 2 == 0 ? dialled[index] : accepted[index]);
    for (int index = 0; index < MANY; index++) (void)close(index % 2 == 0 ? accepted[index] : dialled[index]);
    (void)close(control);
    tap_expect_quiet(before);
}

void stream_tests(void)
{
    tap_run("a pump carries large transfers both ways, byte for byte", carries_both_ways);
    tap_run("a pump keeps one direction open when the other has ended", keeps_half_open);
    tap_run("a pump ends with a cut connection", ends_with_a_cut);
    tap_run("a pump delivers what was written before the close", delivers_after_the_close);
    tap_run("a pump whose caller has gone does not wait for ever for a peer that reads nothing", ends_after_lingering);
    tap_run("a dial tells that it was refused", tells_refusal);
    tap_run("a dial keeps its deadline, and is cancelled by closing it", keeps_its_deadline_and_is_cancelled);
    tap_run("a privileged dial has a low port of its own, and a listener refuses others", proves_privilege);
    tap_run("a listener frees its port, and its connections live on", frees_its_port);
    tap_run("a hundred connections leave no thread and no descriptor", serves_many);
}
