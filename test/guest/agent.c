/*
 * The test guest's first process: runs commands for the machine outside, over the virtio port that is its argument.
 *
 * Frames both ways: id, kind and length of the body (three u32 in the machine's order), then the body. In comes RUN
 * (the command of a shell, NUL, what it reads as its input) and KILL (the command and all that it started); out goes
 * READY once, then OUTPUT and ERRORS of the commands, and for each at last EXIT with its exit code, or 256 and the
 * number of the signal. A command has exited when its shell has and nobody else holds its output any more.
 *
 * Invariant: commands run side by side; when the outside has gone, so has this machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUN, KILL };
enum { READY, OUTPUT, ERRORS, EXIT };
enum { MAX_COMMANDS = 64, PIECE_BYTES = 32 * 1024, SIGNALLED = 256 };

struct frame {
    uint32_t id, kind, length;
};

struct command {
    uint32_t id;
    pid_t shell; /* 0: this place is free */
    bool has_ended;
    int32_t status;
    int streams[2]; /* output, errors; -1 after their end */
};

static int port;
static struct command commands[MAX_COMMANDS];

static _Noreturn void power_off(const char *reason)
{
    (void)dprintf(STDERR_FILENO, "agent: %s: %s\n", reason, strerror(errno));
    sync();
    (void)reboot(RB_POWER_OFF);
    for (;;) (void)pause();
}

static void read_all(void *bytes, size_t length)
{
    for (size_t got = 0; got < length;) {
        ssize_t count = read(port, (char *)bytes + got, length - got);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) power_off("the outside has gone");
        got += (size_t)count;
    }
}

static void write_all(int descriptor, const void *bytes, size_t length)
{
    for (size_t sent = 0; sent < length;) {
        ssize_t count = write(descriptor, (const char *)bytes + sent, length - sent);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) power_off("write");
        sent += (size_t)count;
    }
}

static void tell(uint32_t id, uint32_t kind, const void *body, size_t length)
{
    struct frame frame = {id, kind, (uint32_t)length};
    write_all(port, &frame, sizeof frame);
    write_all(port, body, length);
}

static int input_of(const char *bytes, size_t length)
{
    int input = memfd_create("input", MFD_CLOEXEC);
    if (input < 0) power_off("memfd_create");
    write_all(input, bytes, length);
    (void)lseek(input, 0, SEEK_SET);
    return input;
}

static _Noreturn void become(const char *text, int input, const int *streams)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0);
    if (dup2(input, 0) < 0 || dup2(streams[0], 1) < 0 || dup2(streams[1], 2) < 0) _exit(127);
    (void)execl("/bin/sh", "sh", "-c", text, (char *)NULL);
    _exit(127);
}

static void start(uint32_t id, const char *body, size_t length)
{
    struct command *command = commands;
    while (command->shell != 0)
        if (++command == commands + MAX_COMMANDS) power_off("too many commands");
    size_t text = strnlen(body, length);
    int input = input_of(body + text + 1, length - text - 1), output[2], errors[2];
    if (pipe2(output, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0) power_off("pipe2");
    pid_t shell = fork();
    if (shell < 0) power_off("fork");
    if (shell == 0) become(body, input, (int[2]){output[1], errors[1]});
    /* Here as well as there: whichever comes first, nobody kills before the group exists. */
    (void)setpgid(shell, shell);
    (void)close(input);
    (void)close(output[1]);
    (void)close(errors[1]);
    *command = (struct command){.id = id, .shell = shell, .streams = {output[0], errors[0]}};
}

static void take_frame(void)
{
    struct frame frame;
    read_all(&frame, sizeof frame);
    char *body = malloc((size_t)frame.length + 1);
    if (body == NULL) power_off("malloc");
    read_all(body, frame.length);
    body[frame.length] = '\0';
    if (frame.kind == RUN) {
        start(frame.id, body, frame.length);
    } else {
        for (size_t index = 0; index < MAX_COMMANDS; index++) {
            const struct command *command = &commands[index];
            if (command->shell != 0 && command->id == frame.id) (void)kill(-command->shell, SIGKILL);
        }
    }
    free(body);
}

/* As the first process we inherit what others leave behind, too. */
static void reap(int signals)
{
    struct signalfd_siginfo ignored;
    if (read(signals, &ignored, sizeof ignored) < 0) power_off("signalfd");
    int status;
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (size_t index = 0; index < MAX_COMMANDS; index++) {
            if (commands[index].shell != ended || commands[index].has_ended) continue;
            commands[index].has_ended = true;
            commands[index].status = WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
        }
    }
}

static void pass_on(const struct command *command, int *stream, uint32_t kind)
{
    static char bytes[PIECE_BYTES];
    ssize_t count = read(*stream, bytes, sizeof bytes);
    if (count > 0) {
        tell(command->id, kind, bytes, (size_t)count);
        return;
    }
    (void)close(*stream);
    *stream = -1;
}

static void finish_commands(void)
{
    for (size_t index = 0; index < MAX_COMMANDS; index++) {
        struct command *command = &commands[index];
        bool is_writing = command->streams[0] >= 0 || command->streams[1] >= 0;
        if (command->shell == 0 || !command->has_ended || is_writing) continue;
        tell(command->id, EXIT, &command->status, sizeof command->status);
        command->shell = 0;
    }
}

int main(int count, char **arguments)
{
    enum { PORT, SIGNALS, STREAMS };
    sigset_t children;
    (void)sigemptyset(&children);
    (void)sigaddset(&children, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &children, NULL);
    int signals = signalfd(-1, &children, SFD_CLOEXEC);
    port = count == 2 ? open(arguments[1], O_RDWR | O_CLOEXEC) : -1;
    if (port < 0 || signals < 0) power_off("the virtio port");
    tell(0, READY, NULL, 0);
    for (;;) {
        static struct pollfd asked[STREAMS + 2 * MAX_COMMANDS];
        asked[PORT] = (struct pollfd){.fd = port, .events = POLLIN};
        asked[SIGNALS] = (struct pollfd){.fd = signals, .events = POLLIN};
        for (size_t index = 0; index < 2 * MAX_COMMANDS; index++) {
            const struct command *command = &commands[index / 2];
            int stream = command->shell == 0 ? -1 : command->streams[index % 2];
            asked[STREAMS + index] = (struct pollfd){.fd = stream, .events = POLLIN};
        }
        if (poll(asked, STREAMS + 2 * MAX_COMMANDS, -1) < 0) power_off("poll");
        for (size_t index = 0; index < 2 * MAX_COMMANDS; index++) {
            struct command *command = &commands[index / 2];
            if (asked[STREAMS + index].revents == 0) continue;
            pass_on(command, &command->streams[index % 2], index % 2 == 0 ? OUTPUT : ERRORS);
        }
        if (asked[SIGNALS].revents != 0) reap(signals);
        finish_commands();
        if (asked[PORT].revents != 0) take_frame();
    }
}
