/* The connections by themselves, and their sockets on this machine. See connections.h. */
#include "connections.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_HOST_PORT = 1 << 30 };

void connections_open(struct device *device, const char *prefix, int listener)
{
    device->prefix = prefix;
    device->listener = listener;
    device->next_port = FIRST_HOST_PORT;
}

struct connection *connections_unused(struct device *device)
{
    for (size_t index = 0; index < MAX_CONNECTIONS; index++)
        if (device->connections[index].state == UNUSED) return &device->connections[index];
    return NULL;
}

struct connection *connections_find(struct device *device, uint32_t guest_port, uint32_t host_port)
{
    for (size_t index = 0; index < MAX_CONNECTIONS; index++) {
        struct connection *connection = &device->connections[index];
        if (connection->state > READING_LINE && connection->guest_port == guest_port &&
            connection->host_port == host_port)
            return connection;
    }
    return NULL;
}

void connections_forget(struct connection *connection)
{
    if (connection->descriptor >= 0) (void)close(connection->descriptor);
    free(connection->buffer);
    *connection = (struct connection){.state = UNUSED, .descriptor = -1};
}

void connections_refuse(struct connection *connection)
{
    if (connection->descriptor >= 0) (void)close(connection->descriptor);
    connection->descriptor = -1;
    connection->state = RESET;
    connection->owed_op = VIRTIO_VSOCK_OP_RST;
}

uint32_t connections_room(const struct connection *connection)
{
    return connection->guest_space - (connection->sent - connection->guest_forwarded);
}

void connections_drop(struct connection *connection)
{
    connection->forwarded += (uint32_t)connection->length;
    connection->length = 0;
    connection->ended |= NO_MORE_READS;
}

void connections_flush(struct connection *connection)
{
    while (connection->length > 0) {
        size_t straight = BUFFER_BYTES - connection->start;
        size_t size = connection->length < straight ? connection->length : straight;
        ssize_t count =
            send(connection->descriptor, connection->buffer + connection->start, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) break;
        if (count < 0) {
            connections_drop(connection);
            break;
        }
        connection->start = (connection->start + (size_t)count) % BUFFER_BYTES;
        connection->length -= (size_t)count;
        connection->forwarded += (uint32_t)count;
    }
    if (connection->forwarded - connection->forwarded_told >= BUFFER_BYTES / 4) connection->owes_credit = true;
    if (connection->length > 0) return;
    if ((connection->guest_ended & NO_MORE_WRITES) != 0) (void)shutdown(connection->descriptor, SHUT_WR);
    if (connection->guest_ended == BOTH_ENDED) connections_refuse(connection);
}

static void read_line(struct device *device, struct connection *connection)
{
    char *line = connection->line;
    for (; connection->line_length < LINE_BYTES - 1; connection->line_length++) {
        ssize_t count = recv(connection->descriptor, line + connection->line_length, 1, MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) break;
        if (line[connection->line_length] != '\n') continue;
        uint32_t guest_port = 0, host_port = 0;
        int found = sscanf(line, "CONNECT %u %u", &guest_port, &host_port);
        if (found < 2) host_port = device->next_port++;
        if (found < 1 || connections_find(device, guest_port, host_port) != NULL) break;
        connection->guest_port = guest_port;
        connection->host_port = host_port;
        connection->state = REQUESTED;
        connection->owed_op = VIRTIO_VSOCK_OP_REQUEST;
        return;
    }
    connections_forget(connection);
}

void connections_admit(struct device *device)
{
    int descriptor = accept4(device->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor < 0) return;
    struct connection *connection = connections_unused(device);
    uint8_t *buffer = connection == NULL ? NULL : malloc(BUFFER_BYTES);
    if (buffer == NULL) {
        (void)close(descriptor);
        return;
    }
    *connection = (struct connection){
        .state = READING_LINE, .host_cid = HOST_CID, .descriptor = descriptor, .buffer = buffer};
}

short connections_wanted(const struct connection *connection)
{
    if (connection->state == READING_LINE) return POLLIN;
    if (connection->state != OPEN) return -1;
    bool may_read = (connection->ended & NO_MORE_WRITES) == 0 && (connection->guest_ended & NO_MORE_READS) == 0;
    short events = may_read && !connection->is_readable && connections_room(connection) > 0 ? POLLIN : 0;
    if (connection->length > 0) events |= POLLOUT;
    /* After its end, only that it was closed altogether is news. */
    bool may_close = (connection->ended & NO_MORE_WRITES) != 0 && (connection->ended & NO_MORE_READS) == 0;
    return events != 0 || may_close ? events : -1;
}

void connections_note(struct device *device, struct connection *connection, short events)
{
    if (connection->state == READING_LINE) {
        read_line(device, connection);
        return;
    }
    if ((events & POLLOUT) != 0) connections_flush(connection);
    if (connection->state != OPEN) return;
    bool has_ended = (connection->ended & NO_MORE_WRITES) != 0;
    if (has_ended && (events & (POLLHUP | POLLERR)) != 0) connections_drop(connection);
    else if (!has_ended && (events & (POLLIN | POLLHUP | POLLERR)) != 0) connection->is_readable = true;
}
