/* See vhost.h. Of the protocol only what QEMU needs of a vsock device: it reads the guest's CID from the configuration
 * space, and asks for more than one queue. */
#include "vhost.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    GET_QUEUE_NUM = 17,
    SET_VRING_ENABLE = 18,
    GET_CONFIG = 24,
};
enum { VERSION = 1, IS_REPLY = 4, NEEDS_REPLY = 8, NO_DESCRIPTOR = 0x100, RING_MASK = 0xff };
#define FEATURE_PROTOCOL (UINT64_C(1) << 30)
#define PROTOCOL_MQ (UINT64_C(1) << 0)
#define PROTOCOL_REPLY_ACK (UINT64_C(1) << 3)
#define PROTOCOL_CONFIG (UINT64_C(1) << 9)

struct message {
    struct {
        uint32_t request, flags, size;
    } head;
    union {
        uint64_t number;
        struct {
            uint32_t index, value;
        } ring;
        struct {
            uint32_t index, flags;
            uint64_t descriptors, used, available, log;
        } address;
        struct {
            uint32_t count, padding;
            struct {
                uint64_t guest_address, size, qemu_address, offset;
            } regions[VHOST_REGIONS];
        } memory;
        struct {
            uint32_t offset, size, flags;
            uint8_t bytes[256];
        } config;
    } body;
    int descriptors[VHOST_REGIONS];
    size_t descriptor_count;
};

void give_up(const char *reason)
{
    (void)fprintf(stderr, "vsock-backend: %s\n", reason);
    exit(1);
}

void vhost_open(struct vhost *vhost, int qemu, uint64_t guest_cid)
{
    *vhost = (struct vhost){.qemu = qemu, .guest_cid = guest_cid};
    for (int index = 0; index < VHOST_RINGS; index++) {
        vhost->rings[index].kick = -1;
        vhost->rings[index].call = -1;
    }
}

static bool receive(int socket, struct message *message)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int) * VHOST_REGIONS)];
    } control;
    struct iovec part = {&message->head, sizeof message->head};
    struct msghdr received = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *message = (struct message){0};
    ssize_t count = recvmsg(socket, &received, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    if (count == 0 || (count < 0 && errno == ECONNRESET)) return false;
    if (count != (ssize_t)sizeof message->head) give_up("half a request");
    struct cmsghdr *passed = CMSG_FIRSTHDR(&received);
    if (passed != NULL && passed->cmsg_type == SCM_RIGHTS) {
        message->descriptor_count = (passed->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(message->descriptors, CMSG_DATA(passed), message->descriptor_count * sizeof(int));
    }
    if (message->head.size > sizeof message->body) give_up("a request that is too long");
    if (message->head.size == 0) return true;
    return recv(socket, &message->body, message->head.size, MSG_WAITALL) == (ssize_t)message->head.size;
}

static void reply(const struct vhost *vhost, struct message *message, uint32_t size)
{
    message->head.flags = VERSION | IS_REPLY;
    message->head.size = size;
    struct iovec parts[2] = {{&message->head, sizeof message->head}, {&message->body, size}};
    if (writev(vhost->qemu, parts, 2) != (ssize_t)(sizeof message->head + size)) give_up("QEMU takes no reply");
}

static void map_memory(struct vhost *vhost, const struct message *message)
{
    for (size_t index = 0; index < vhost->region_count; index++)
        (void)munmap(vhost->regions[index].bytes, vhost->regions[index].size);
    vhost->region_count = message->body.memory.count;
    if (vhost->region_count > VHOST_REGIONS || vhost->region_count != message->descriptor_count)
        give_up("memory without its descriptors");
    for (size_t index = 0; index < vhost->region_count; index++) {
        struct vhost_region *region = &vhost->regions[index];
        region->guest_address = message->body.memory.regions[index].guest_address;
        region->size = message->body.memory.regions[index].size;
        region->qemu_address = message->body.memory.regions[index].qemu_address;
        void *bytes = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED, message->descriptors[index],
                           (off_t)message->body.memory.regions[index].offset);
        if (bytes == MAP_FAILED) give_up("the guest's memory cannot be mapped");
        region->bytes = bytes;
        (void)close(message->descriptors[index]);
    }
}

static uint8_t *locate(const struct vhost *vhost, uint64_t address, uint64_t size, bool is_of_qemu)
{
    for (size_t index = 0; index < vhost->region_count; index++) {
        const struct vhost_region *region = &vhost->regions[index];
        uint64_t offset = address - (is_of_qemu ? region->qemu_address : region->guest_address);
        if (offset < region->size && size <= region->size - offset) return region->bytes + offset;
    }
    give_up("an address outside the guest's memory");
}

static struct vhost_ring *ring_at(struct vhost *vhost, uint64_t index)
{
    if (index >= VHOST_RINGS) give_up("a ring that a vsock device does not have");
    return &vhost->rings[index];
}

static void set_addresses(struct vhost *vhost, const struct message *message)
{
    struct vhost_ring *ring = ring_at(vhost, message->body.address.index);
    uint64_t descriptors = message->body.address.descriptors, available = message->body.address.available;
    uint64_t used = message->body.address.used, size = ring->size;
    ring->descriptors = (void *)locate(vhost, descriptors, size * sizeof(struct vring_desc), true);
    ring->available = (void *)locate(vhost, available, sizeof(struct vring_avail) + size * sizeof(uint16_t), true);
    ring->used = (void *)locate(vhost, used, sizeof(struct vring_used) + size * sizeof(struct vring_used_elem), true);
}

static void replace(int *descriptor, const struct message *message)
{
    if (*descriptor >= 0) (void)close(*descriptor);
    bool is_given = (message->body.number & NO_DESCRIPTOR) == 0 && message->descriptor_count == 1;
    *descriptor = is_given ? message->descriptors[0] : -1;
}

static void stop_ring(struct vhost *vhost, struct message *message)
{
    struct vhost_ring *ring = ring_at(vhost, message->body.ring.index);
    ring->is_running = false;
    message->body.ring.value = ring->next;
    reply(vhost, message, sizeof message->body.ring);
}

static void tell_configuration(const struct vhost *vhost, struct message *message)
{
    uint32_t offset = message->body.config.offset, size = message->body.config.size;
    if (offset > sizeof vhost->guest_cid || size > sizeof vhost->guest_cid - offset) give_up("no such configuration");
    memcpy(message->body.config.bytes, (const uint8_t *)&vhost->guest_cid + offset, size);
    reply(vhost, message, message->head.size);
}

static void tell(const struct vhost *vhost, struct message *message, uint64_t number)
{
    message->body.number = number;
    reply(vhost, message, sizeof number);
}

bool vhost_serve(struct vhost *vhost)
{
    struct message message;
    if (!receive(vhost->qemu, &message)) return false;
    uint64_t index = message.body.number & RING_MASK;
    switch (message.head.request) {
    case GET_FEATURES: tell(vhost, &message, UINT64_C(1) << VIRTIO_F_VERSION_1 | FEATURE_PROTOCOL); return true;
    case GET_PROTOCOL_FEATURES: tell(vhost, &message, PROTOCOL_MQ | PROTOCOL_REPLY_ACK | PROTOCOL_CONFIG); return true;
    case GET_QUEUE_NUM: tell(vhost, &message, VHOST_RINGS); return true;
    case GET_CONFIG: tell_configuration(vhost, &message); return true;
    case GET_VRING_BASE: stop_ring(vhost, &message); return true;
    case SET_MEM_TABLE: map_memory(vhost, &message); break;
    case SET_VRING_NUM: ring_at(vhost, message.body.ring.index)->size = message.body.ring.value; break;
    case SET_VRING_BASE: ring_at(vhost, message.body.ring.index)->next = (uint16_t)message.body.ring.value; break;
    case SET_VRING_ADDR: set_addresses(vhost, &message); break;
    case SET_VRING_KICK:
        replace(&ring_at(vhost, index)->kick, &message);
        ring_at(vhost, index)->is_running = true;
        break;
    case SET_VRING_CALL: replace(&ring_at(vhost, index)->call, &message); break;
    case SET_VRING_ERR:
        if (message.descriptor_count == 1) (void)close(message.descriptors[0]);
        break;
    case SET_OWNER:
    case SET_FEATURES:
    case SET_PROTOCOL_FEATURES:
    case SET_VRING_ENABLE: break;
    default: give_up("a request that was not negotiated");
    }
    if ((message.head.flags & NEEDS_REPLY) != 0) tell(vhost, &message, 0);
    return true;
}

bool vhost_take(struct vhost *vhost, int index, struct vhost_buffer *buffer)
{
    struct vhost_ring *ring = &vhost->rings[index];
    if (!ring->is_running || ring->next == __atomic_load_n(&ring->available->idx, __ATOMIC_ACQUIRE)) return false;
    *buffer = (struct vhost_buffer){.head = ring->available->ring[ring->next % ring->size]};
    ring->next++;
    for (uint32_t at = buffer->head;;) {
        if (at >= ring->size || buffer->count == VHOST_PARTS) give_up("a chain that is broken");
        struct vring_desc part = ring->descriptors[at];
        buffer->parts[buffer->count++] = (struct iovec){locate(vhost, part.addr, part.len, false), part.len};
        buffer->size += part.len;
        if ((part.flags & VRING_DESC_F_NEXT) == 0) return true;
        at = part.next;
    }
}

void vhost_untake(struct vhost *vhost, int index)
{
    vhost->rings[index].next--;
}

void vhost_give(struct vhost *vhost, int index, const struct vhost_buffer *buffer, uint32_t written)
{
    struct vhost_ring *ring = &vhost->rings[index];
    uint16_t at = ring->used->idx;
    ring->used->ring[at % ring->size] = (struct vring_used_elem){.id = buffer->head, .len = written};
    __atomic_store_n(&ring->used->idx, (uint16_t)(at + 1), __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if ((ring->available->flags & VRING_AVAIL_F_NO_INTERRUPT) != 0 || ring->call < 0) return;
    if (write(ring->call, &(uint64_t){1}, sizeof(uint64_t)) < 0) give_up("the guest cannot be interrupted");
}

int vhost_part(const struct vhost_buffer *buffer, size_t offset, size_t length, struct iovec *parts)
{
    int count = 0;
    for (int index = 0; index < buffer->count && length > 0; index++) {
        struct iovec part = buffer->parts[index];
        if (offset >= part.iov_len) {
            offset -= part.iov_len;
            continue;
        }
        size_t size = part.iov_len - offset < length ? part.iov_len - offset : length;
        parts[count++] = (struct iovec){(uint8_t *)part.iov_base + offset, size};
        length -= size;
        offset = 0;
    }
    return count;
}
