/* See loopback.h. */
#include "loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "stream.h"

static socklen_t inet_address(struct sockaddr_storage *address, uint32_t port)
{
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(address, 0, sizeof *address);
    memcpy(address, &inet, sizeof inet);
    return sizeof inet;
}

static void describe_inet(const struct sockaddr_storage *address, struct vmci_stream_record *record)
{
    struct sockaddr_in inet;
    memcpy(&inet, address, sizeof inet);
    record->peer_cid = ntohl(inet.sin_addr.s_addr);
    record->peer_port = ntohs(inet.sin_port);
}

static socklen_t unix_address(struct sockaddr_storage *address, const char *path)
{
    struct sockaddr_un named = {.sun_family = AF_UNIX};
    (void)snprintf(named.sun_path, sizeof named.sun_path, "%s", path);
    memset(address, 0, sizeof *address);
    memcpy(address, &named, sizeof named);
    return sizeof named;
}

static void describe_unix(const struct sockaddr_storage *address, struct vmci_stream_record *record)
{
    (void)address;
    record->peer_cid = 0;
    record->peer_port = 0;
}

static const struct vmci_family inet_family = {AF_INET, inet_address, describe_inet, NULL};
static const struct vmci_family unix_family = {AF_UNIX, NULL, describe_unix, NULL};

static const struct vmci_family *parse(const char *text, struct vmci_address *address)
{
    if (text[0] == '/') {
        address->length = unix_address(&address->bytes, text);
        return &unix_family;
    }
    address->length = inet_address(&address->bytes, (uint32_t)strtoul(text, NULL, 10));
    return &inet_family;
}

int64_t vmci_loopback_dial(const char *text, uint32_t is_privileged, uint32_t timeout_ms)
{
    struct vmci_address address;
    const struct vmci_family *family = parse(text, &address);
    return vmci_stream_dial(family, &address, is_privileged != 0, timeout_ms);
}

int64_t vmci_loopback_listen(const char *text, uint32_t refuses_unprivileged)
{
    struct vmci_address address;
    const struct vmci_family *family = parse(text, &address);
    return vmci_stream_listen(family, &address, refuses_unprivileged != 0);
}

int64_t vmci_loopback_deaf(uint32_t port)
{
    struct sockaddr_storage address;
    socklen_t length = inet_address(&address, port);
    int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (deaf < 0) return -errno;
    (void)setsockopt(deaf, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(deaf, (struct sockaddr *)&address, length) == 0 && listen(deaf, 0) == 0) return deaf;
    int error = -errno;
    (void)close(deaf);
    return error;
}
