/* What only this machine's processes are asked: locks, who listens, who connects, and the supervisor. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "stream.h"
#include "tap.h"
#include "vmci.h"

static int bound_socket(int type, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    EXPECT_TRUE(strlen(path) < sizeof address.sun_path);
    strcpy(address.sun_path, path);
    int descriptor = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    EXPECT(bind(descriptor, (struct sockaddr *)&address, sizeof address), 0);
    return descriptor;
}

static const char *too_long(void)
{
    static char path[200];
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    return path;
}

static void locks_for_one(void)
{
    const char *path = tap_file("lock", 0);
    int one = open(path, O_RDWR | O_CLOEXEC), other = open(path, O_RDWR | O_CLOEXEC);
    EXPECT(vmci_lock((uint32_t)one), 0);
    EXPECT(vmci_lock((uint32_t)other), -EAGAIN);
    (void)close(one);
    EXPECT(vmci_lock((uint32_t)other), 0);
    (void)close(other);
    EXPECT(vmci_lock((uint32_t)other), -EBADF);
}

static void names_both_ends(void)
{
    int64_t descriptors = tap_count_descriptors();
    const char *path = tap_path("listener");
    EXPECT(vmci_socket_owner(path), -ENOENT);
    EXPECT(vmci_socket_owner(too_long()), -ENAMETOOLONG);
    int listener = bound_socket(SOCK_STREAM, path);
    EXPECT(vmci_socket_owner(path), -ECONNREFUSED);
    EXPECT(listen(listener, 1), 0);
    EXPECT(vmci_socket_owner(path), getpid());
    int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    EXPECT(vmci_peer_process((uint32_t)accepted), getpid());
    (void)close(accepted);
    EXPECT(vmci_peer_process((uint32_t)accepted), -EBADF);
    (void)close(listener);
    EXPECT(vmci_socket_owner(path), -ECONNREFUSED);
    EXPECT(tap_count_descriptors(), descriptors);
}

static void tells_the_supervisor(void)
{
    int64_t descriptors = tap_count_descriptors();
    const char *path = tap_path("supervisor");
    EXPECT(vmci_notify(path, "READY=1", 7), -ENOENT);
    EXPECT(vmci_notify("relative", "READY=1", 7), -EINVAL);
    EXPECT(vmci_notify(too_long(), "READY=1", 7), -ENAMETOOLONG);
    int supervisor = bound_socket(SOCK_DGRAM, path);
    EXPECT(vmci_notify(path, "READY=1", 7), 0);
    char text[8] = "";
    EXPECT(recv(supervisor, text, sizeof text, MSG_DONTWAIT), 7);
    EXPECT(memcmp(text, "READY=1", 7), 0);
    int64_t result = 0;
    while (result == 0) result = vmci_notify(path, "WATCHDOG=1", 10);
    EXPECT(result, -EAGAIN);
    (void)close(supervisor);
    EXPECT(tap_count_descriptors(), descriptors);
}

static void clocks_go_on(void)
{
    int64_t boot_ms = vmci_boot_ms();
    EXPECT_TRUE(boot_ms >= vmci_now_ms() - 1);
    EXPECT_TRUE(vmci_boot_ms() >= boot_ms);
}

void local_tests(void)
{
    tap_run("a lock is for one, and ends with its descriptor", locks_for_one);
    tap_run("both ends of a socket are named", names_both_ends);
    tap_run("the supervisor is told, and never waited for", tells_the_supervisor);
    tap_run("the clock since boot has no less than the one that stands still in sleep", clocks_go_on);
}
