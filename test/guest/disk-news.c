/*
 * Tells the SCSI disks that the kernel adds and removes, as it announces them: "listening" once none is missed any more,
 * then "add 1 sdb", "add 2 sdc", "remove 1 sdb": how many so far, and which. It does nothing else, so that a kernel is
 * seen with none of our product in it.
 */
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { KERNEL_GROUP = 1, MESSAGE_BYTES = 16 * 1024, RECEIVE_BUFFER_BYTES = 16 * 1024 * 1024 };

/* The message is "add@/devices/...", then KEY=VALUE, each ended by NUL; a partition's path goes on behind the disk's. */
static void tell(const char *message)
{
    static int adds, removes;
    const char *disk = strstr(message, "/block/sd");
    if (disk == NULL) return;
    disk += strlen("/block/");
    if (strchr(disk, '/') != NULL) return;
    if (strncmp(message, "add@", 4) == 0) (void)printf("add %d %s\n", ++adds, disk);
    if (strncmp(message, "remove@", 7) == 0) (void)printf("remove %d %s\n", ++removes, disk);
}

int main(void)
{
    static char message[MESSAGE_BYTES];
    int bytes = RECEIVE_BUFFER_BYTES, news = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
    if (news < 0 || setsockopt(news, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0) return 1;
    if (bind(news, (struct sockaddr *)&address, sizeof address) < 0) return 1;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    (void)puts("listening");
    for (;;) {
        ssize_t count = recv(news, message, sizeof message - 1, 0);
        if (count < 0) return 1;
        message[count] = '\0';
        tell(message);
    }
}
