/* AF_VSOCK's addresses, and nothing else of the streams: all behaviour is in the core (stream.h). */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>

static socklen_t set_address(struct sockaddr_storage *address, uint32_t cid, uint32_t port)
{
    struct sockaddr_vm vsock = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
    memset(address, 0, sizeof *address);
    memcpy(address, &vsock, sizeof vsock);
    return sizeof vsock;
}

static socklen_t local_address(struct sockaddr_storage *address, uint32_t port)
{
    return set_address(address, VMADDR_CID_ANY, port);
}

static void describe_peer(const struct sockaddr_storage *address, struct vmci_stream_record *record)
{
    struct sockaddr_vm vsock;
    memcpy(&vsock, address, sizeof vsock);
    record->peer_cid = vsock.svm_cid;
    record->peer_port = vsock.svm_port;
}

/* The driver gives up after two seconds by itself, a host that is busy may need longer. */
static int allow_connect_time(int descriptor, uint32_t timeout_ms)
{
    struct timeval limit = {.tv_sec = timeout_ms / 1000 + 1};
    if (setsockopt(descriptor, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof limit) < 0) return -errno;
    return 0;
}

static const struct vmci_family vsock_family = {
    .domain = AF_VSOCK,
    .local_address = local_address,
    .describe_peer = describe_peer,
    .allow_connect_time = allow_connect_time,
};

int64_t vmci_vsock_dial(uint32_t cid, uint32_t port, uint32_t is_privileged, uint32_t timeout_ms)
{
    struct vmci_address address;
    address.length = set_address(&address.bytes, cid, port);
    return vmci_stream_dial(&vsock_family, &address, is_privileged != 0, timeout_ms);
}

int64_t vmci_vsock_listen(uint32_t port, uint32_t refuses_unprivileged)
{
    struct vmci_address address;
    address.length = local_address(&address.bytes, port);
    return vmci_stream_listen(&vsock_family, &address, refuses_unprivileged != 0);
}

int64_t vmci_local_cid(void)
{
    int device = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
    if (device < 0) return -errno;
    uint32_t cid = 0;
    int64_t result = ioctl(device, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0 ? -errno : (int64_t)cid;
    (void)close(device);
    return result;
}
