/*
 * The inner guest's client: asks over AF_VSOCK by libvmci's own code, which is linked into it, so that the inner guest,
 * emulated twice, has no Node to load.
 *
 *   client CID PORT privileged|any <frames >replies
 *
 * Sends the channel's frames one at a time, the next one when the one before was answered. Ends with 0 when all were, 2
 * when it did not get a connection, 3 when that was closed before an answer.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stream.h"

enum { HEADER_BYTES = 8, LENGTH_AT = 4, LARGEST_BYTES = 1024 * 1024, DIAL_MS = 30000 };
enum { UNUSABLE = 1, NOT_CONNECTED, CLOSED };

static _Noreturn void end(int status, const char *reason)
{
    (void)fprintf(stderr, "client: %s\n", reason);
    exit(status);
}

/* False at the end of the input, when that comes before the first byte. */
static bool read_all(int descriptor, void *bytes, size_t length, int status)
{
    for (size_t got = 0; got < length;) {
        ssize_t count = read(descriptor, (char *)bytes + got, length - got);
        if (count <= 0 && got == 0) return false;
        if (count <= 0) end(status, "a frame is cut short");
        got += (size_t)count;
    }
    return true;
}

/* The length of the frame, or 0 at the end. */
static size_t read_frame(int descriptor, char *frame, int status)
{
    if (!read_all(descriptor, frame, HEADER_BYTES, status)) return 0;
    uint32_t length;
    memcpy(&length, frame + LENGTH_AT, sizeof length);
    if (length == 0 || length > LARGEST_BYTES) end(UNUSABLE, "that is no frame");
    if (!read_all(descriptor, frame + HEADER_BYTES, length, status)) end(status, "a frame is cut short");
    return HEADER_BYTES + length;
}

/* In a process of its own, since whoever sends the bytes back at once waits for us to take them. */
static void send_frame(int stream, const char *frame, size_t length)
{
    pid_t sender = fork();
    if (sender < 0) end(UNUSABLE, "fork");
    if (sender == 0) _exit(vmci_send_all(stream, frame, length) == 0 ? 0 : 1);
}

int main(int count, char **arguments)
{
    static char request[HEADER_BYTES + LARGEST_BYTES], reply[HEADER_BYTES + LARGEST_BYTES];
    if (count != 4) end(UNUSABLE, "usage: client CID PORT privileged|any");
    bool is_privileged = strcmp(arguments[3], "privileged") == 0;
    uint32_t cid = (uint32_t)strtoul(arguments[1], NULL, 10), port = (uint32_t)strtoul(arguments[2], NULL, 10);
    int stream = (int)vmci_vsock_dial(cid, port, is_privileged, DIAL_MS);
    struct vmci_stream_record record;
    if (stream < 0 || !read_all(stream, &record, sizeof record, NOT_CONNECTED)) end(NOT_CONNECTED, "no stream");
    if (record.status < 0) end(NOT_CONNECTED, strerror(-record.status));
    for (size_t length; (length = read_frame(STDIN_FILENO, request, UNUSABLE)) > 0;) {
        send_frame(stream, request, length);
        size_t answered = read_frame(stream, reply, CLOSED);
        if (answered == 0) end(CLOSED, "closed");
        if (write(STDOUT_FILENO, reply, answered) != (ssize_t)answered) end(UNUSABLE, "write");
        (void)wait(NULL);
    }
    return 0;
}
