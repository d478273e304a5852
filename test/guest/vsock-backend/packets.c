/* Packets to and from the guest. See connections.h. */
#include "connections.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { HEADER_BYTES = sizeof(struct virtio_vsock_hdr), LARGEST_PIECE = 64 * 1024 };

/* ---- From the guest */

static void tell_outcome(const struct connection *connection, const char *outcome)
{
    (void)printf("%u -> %u %s\n", connection->guest_port, connection->host_port, outcome);
    (void)fflush(stdout);
}

static void open_service(const struct device *device, struct connection *connection)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s_%u", device->prefix, connection->host_port);
    if (length >= (int)sizeof address.sun_path) give_up("a socket's path that is too long");
    connection->buffer = malloc(BUFFER_BYTES);
    if (connection->buffer == NULL) give_up("no memory");
    connection->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection->host_cid != HOST_CID ||
        connect(connection->descriptor, (struct sockaddr *)&address, sizeof address) < 0) {
        connections_refuse(connection);
        tell_outcome(connection, "refused");
        return;
    }
    connection->state = OPEN;
    connection->owed_op = VIRTIO_VSOCK_OP_RESPONSE;
    tell_outcome(connection, "connected");
}

static void answer_line(struct connection *connection)
{
    char line[LINE_BYTES];
    int length = snprintf(line, sizeof line, "OK %u\n", connection->host_port);
    connection->state = OPEN;
    if (send(connection->descriptor, line, (size_t)length, MSG_NOSIGNAL) < length) connections_drop(connection);
}

static void accept_bytes(struct connection *connection, const struct vhost_buffer *buffer, uint32_t length)
{
    if (connection->state != OPEN || length > BUFFER_BYTES - connection->length) {
        connections_refuse(connection);
        return;
    }
    struct iovec parts[VHOST_PARTS];
    int count = vhost_part(buffer, HEADER_BYTES, length, parts);
    for (int index = 0; index < count; index++) {
        for (size_t taken = 0; taken < parts[index].iov_len;) {
            size_t at = (connection->start + connection->length) % BUFFER_BYTES;
            size_t left = parts[index].iov_len - taken;
            size_t size = left < BUFFER_BYTES - at ? left : BUFFER_BYTES - at;
            memcpy(connection->buffer + at, (uint8_t *)parts[index].iov_base + taken, size);
            connection->length += size;
            taken += size;
        }
    }
    if ((connection->ended & NO_MORE_READS) != 0) connections_drop(connection);
    connections_flush(connection);
}

static void handle_unknown(struct device *device, const struct virtio_vsock_hdr *header)
{
    if (header->op == VIRTIO_VSOCK_OP_RST) return;
    struct connection *connection = connections_unused(device);
    *connection = (struct connection){
        .host_cid = header->dst_cid,
        .guest_port = header->src_port,
        .host_port = header->dst_port,
        .descriptor = -1,
        .guest_space = header->buf_alloc,
        .guest_forwarded = header->fwd_cnt,
    };
    bool is_wanted = header->op == VIRTIO_VSOCK_OP_REQUEST && header->type == VIRTIO_VSOCK_TYPE_STREAM;
    if (is_wanted) open_service(device, connection);
    else connections_refuse(connection);
}

static void handle(struct device *device, const struct virtio_vsock_hdr *header, const struct vhost_buffer *buffer)
{
    struct connection *connection = connections_find(device, header->src_port, header->dst_port);
    bool is_new = header->op == VIRTIO_VSOCK_OP_REQUEST;
    /* A guest that was reset knows nothing of its former connections. */
    if (connection != NULL && (is_new || header->op == VIRTIO_VSOCK_OP_RST)) connections_forget(connection);
    if (connection == NULL || connection->state == UNUSED) {
        handle_unknown(device, header);
        return;
    }
    connection->guest_space = header->buf_alloc;
    connection->guest_forwarded = header->fwd_cnt;
    switch (header->op) {
    case VIRTIO_VSOCK_OP_RESPONSE:
        if (connection->state == REQUESTED) answer_line(connection);
        break;
    case VIRTIO_VSOCK_OP_RW: accept_bytes(connection, buffer, header->len); break;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        connection->guest_ended |= header->flags & BOTH_ENDED;
        if (connection->state == OPEN) connections_flush(connection);
        break;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST: connection->owes_credit = true; break;
    default: break;
    }
}

/* False when there is none, or no place to note an answer to it. */
static bool take_packet(struct device *device)
{
    struct vhost_buffer buffer;
    if (connections_unused(device) == NULL || !vhost_take(&device->vhost, VHOST_FROM_GUEST, &buffer)) return false;
    struct virtio_vsock_hdr header;
    if (buffer.size < HEADER_BYTES) give_up("half a packet");
    struct iovec parts[VHOST_PARTS];
    int count = vhost_part(&buffer, 0, HEADER_BYTES, parts);
    uint8_t *to = (uint8_t *)&header;
    for (int index = 0; index < count; to += parts[index].iov_len, index++)
        memcpy(to, parts[index].iov_base, parts[index].iov_len);
    if (header.len > buffer.size - HEADER_BYTES) give_up("a packet that is longer than its buffer");
    handle(device, &header, &buffer);
    vhost_give(&device->vhost, VHOST_FROM_GUEST, &buffer, 0);
    return true;
}

/* ---- To the guest */

static void send_packet(struct device *device, struct connection *connection, const struct vhost_buffer *buffer,
                        uint16_t op, uint32_t flags, uint32_t length)
{
    struct virtio_vsock_hdr header = {
        .src_cid = connection->host_cid,
        .dst_cid = device->vhost.guest_cid,
        .src_port = connection->host_port,
        .dst_port = connection->guest_port,
        .len = length,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .op = op,
        .flags = flags,
        .buf_alloc = BUFFER_BYTES,
        .fwd_cnt = connection->forwarded,
    };
    struct iovec parts[VHOST_PARTS];
    int count = vhost_part(buffer, 0, HEADER_BYTES, parts);
    const uint8_t *from = (const uint8_t *)&header;
    for (int index = 0; index < count; from += parts[index].iov_len, index++)
        memcpy(parts[index].iov_base, from, parts[index].iov_len);
    connection->forwarded_told = connection->forwarded;
    connection->owes_credit = false;
    vhost_give(&device->vhost, VHOST_TO_GUEST, buffer, HEADER_BYTES + length);
}

static void send_end(struct device *device, struct connection *connection, const struct vhost_buffer *buffer)
{
    connection->ended_told = connection->ended;
    send_packet(device, connection, buffer, VIRTIO_VSOCK_OP_SHUTDOWN, connection->ended, 0);
}

/* The next bytes for the guest, or the news that there are no more. */
static void send_bytes(struct device *device, struct connection *connection, const struct vhost_buffer *buffer)
{
    struct iovec parts[VHOST_PARTS];
    uint32_t limit = connections_room(connection) < LARGEST_PIECE ? connections_room(connection) : LARGEST_PIECE;
    struct msghdr message = {.msg_iov = parts};
    message.msg_iovlen = (size_t)vhost_part(buffer, HEADER_BYTES, limit, parts);
    ssize_t count = recvmsg(connection->descriptor, &message, MSG_DONTWAIT);
    if (count > 0) {
        connection->sent += (uint32_t)count;
        send_packet(device, connection, buffer, VIRTIO_VSOCK_OP_RW, 0, (uint32_t)count);
        return;
    }
    connection->is_readable = false;
    if (count < 0 && errno == EAGAIN) {
        vhost_untake(&device->vhost, VHOST_TO_GUEST);
        return;
    }
    connection->ended |= NO_MORE_WRITES;
    if (count < 0) connections_drop(connection);
    send_end(device, connection, buffer);
}

static bool has_bytes(const struct connection *connection)
{
    return connection->state == OPEN && connection->is_readable && connections_room(connection) > 0;
}

static bool is_owed(const struct connection *connection)
{
    if (connection->state == UNUSED || connection->state == READING_LINE) return false;
    bool owes_end = connection->ended != connection->ended_told;
    return connection->owed_op != 0 || owes_end || connection->owes_credit || has_bytes(connection);
}

static void pay(struct device *device, struct connection *connection, const struct vhost_buffer *buffer)
{
    uint16_t op = connection->owed_op;
    connection->owed_op = 0;
    if (op != 0) send_packet(device, connection, buffer, op, 0, 0);
    else if (has_bytes(connection)) send_bytes(device, connection, buffer);
    else if (connection->ended != connection->ended_told) send_end(device, connection, buffer);
    else send_packet(device, connection, buffer, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
    if (op == VIRTIO_VSOCK_OP_RST) connections_forget(connection);
}

/* One packet for one connection, which then is the last in turn. False when none is owed, or the guest has no buffer. */
static bool give_packet(struct device *device)
{
    for (uint32_t step = 0; step < MAX_CONNECTIONS; step++) {
        uint32_t turn = (device->next_turn + step) % MAX_CONNECTIONS;
        struct vhost_buffer buffer;
        if (!is_owed(&device->connections[turn])) continue;
        if (!vhost_take(&device->vhost, VHOST_TO_GUEST, &buffer)) return false;
        if (buffer.size <= HEADER_BYTES) give_up("a buffer that holds no packet");
        pay(device, &device->connections[turn], &buffer);
        device->next_turn = turn + 1;
        return true;
    }
    return false;
}

void connections_exchange(struct device *device)
{
    for (bool is_moving = true; is_moving;) {
        is_moving = give_packet(device);
        is_moving = take_packet(device) || is_moving;
    }
}
