/*
 * A vsock device for one QEMU guest, with nothing but Unix sockets on this machine:
 *
 *   vsock-backend DEVICE PREFIX CID
 *
 * QEMU connects to the socket DEVICE (vhost-user). A guest's connection to CID 2, port P, goes to the socket PREFIX_P.
 * Who connects to the socket PREFIX and sends "CONNECT P\n" reaches the guest's port P, and reads "OK SOURCE\n" first;
 * "CONNECT P S\n" does so from port S. That is the hybrid form of Firecracker and Cloud Hypervisor, but for S.
 *
 * It says "ready" when it listens, then for each of the guest's connections "SOURCE -> P connected" or "... refused":
 * the Unix sockets cannot tell the source port. It ends with QEMU, and with its parent.
 */
#include "connections.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { QEMU, KICK_TO_GUEST, KICK_FROM_GUEST, LISTENER, FIRST_CONNECTION, BACKLOG = 64 };

static int listen_at(const char *path, int flags)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) give_up("a socket's path that is too long");
    memcpy(address.sun_path, path, strlen(path));
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, BACKLOG) < 0)
        give_up("a socket that cannot be made");
    return listener;
}

static size_t ask(const struct device *device, struct pollfd *asked, uint32_t *numbers)
{
    asked[QEMU] = (struct pollfd){.fd = device->vhost.qemu, .events = POLLIN};
    asked[KICK_TO_GUEST] = (struct pollfd){.fd = device->vhost.rings[VHOST_TO_GUEST].kick, .events = POLLIN};
    asked[KICK_FROM_GUEST] = (struct pollfd){.fd = device->vhost.rings[VHOST_FROM_GUEST].kick, .events = POLLIN};
    asked[LISTENER] = (struct pollfd){.fd = device->listener, .events = POLLIN};
    size_t count = FIRST_CONNECTION;
    for (uint32_t index = 0; index < MAX_CONNECTIONS; index++) {
        short events = connections_wanted(&device->connections[index]);
        if (events < 0) continue;
        numbers[count] = index;
        asked[count++] = (struct pollfd){.fd = device->connections[index].descriptor, .events = events};
    }
    return count;
}

static void clear(const struct pollfd *kick)
{
    uint64_t kicks;
    if ((kick->revents & POLLIN) == 0) return;
    if (read(kick->fd, &kicks, sizeof kicks) < 0) give_up("a kick that cannot be read");
}

static void serve(struct device *device)
{
    static struct pollfd asked[FIRST_CONNECTION + MAX_CONNECTIONS];
    static uint32_t numbers[FIRST_CONNECTION + MAX_CONNECTIONS];
    for (;;) {
        size_t count = ask(device, asked, numbers);
        if (poll(asked, count, -1) < 0) give_up("poll failed");
        clear(&asked[KICK_TO_GUEST]);
        clear(&asked[KICK_FROM_GUEST]);
        for (size_t at = FIRST_CONNECTION; at < count; at++)
            if (asked[at].revents != 0)
                connections_note(device, &device->connections[numbers[at]], asked[at].revents);
        if (asked[LISTENER].revents != 0) connections_admit(device);
        if (asked[QEMU].revents != 0 && !vhost_serve(&device->vhost)) return;
        connections_exchange(device);
    }
}

int main(int count, char **arguments)
{
    static struct device device;
    if (count != 4) give_up("usage: vsock-backend DEVICE PREFIX CID");
    int offer = listen_at(arguments[1], 0);
    connections_open(&device, arguments[2], listen_at(arguments[2], SOCK_NONBLOCK));
    (void)printf("ready\n");
    (void)fflush(stdout);
    int qemu = accept4(offer, NULL, NULL, SOCK_CLOEXEC);
    if (qemu < 0) give_up("QEMU did not come");
    (void)close(offer);
    vhost_open(&device.vhost, qemu, strtoull(arguments[3], NULL, 10));
    serve(&device);
    return 0;
}
