/* reception.c - lets connections in, and gives each worker as many as the next: where workers
 * listen themselves, whoever wakes first takes all who came together. Beyond the limit of a door
 * nobody is let in until somebody has left; they wait in the queue of the socket. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/server.h"

enum { PAUSE_MS = 10, AT_ONCE = 64 };

static bool has_room(const struct door *door)
{
    return atomic_load_explicit(&door->present, memory_order_relaxed) < door->most;
}

/* False when the machine has no room for another socket just now. */
static bool let_in(struct door *door)
{
    struct sockaddr_storage address;
    for (int n = 0; n < AT_ONCE && has_room(door); n++) {
        socklen_t size = sizeof address;
        int fd =
            accept4(door->fd, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
        atomic_fetch_add(&door->present, 1);
        /* Closes it where it fails. */
        if (MHD_add_connection(door->daemon, fd, (struct sockaddr *)&address, size) != MHD_YES)
            atomic_fetch_sub(&door->present, 1);
    }
    return true;
}

static void *receive(void *ctx)
{
    struct http_server *s = ctx;
    struct door *doors[2] = {&s->tcp, &s->unix_door};
    while (!atomic_load(&s->stopping)) {
        struct pollfd fds[2];
        bool full = false;
        for (int i = 0; i < 2; i++) {
            bool open = doors[i]->fd >= 0 && has_room(doors[i]);
            full = full || (doors[i]->fd >= 0 && !open);
            fds[i] = (struct pollfd){.fd = open ? doors[i]->fd : -1, .events = POLLIN};
        }
        if (poll(fds, 2, full ? PAUSE_MS : -1) <= 0)
            continue;
        for (int i = 0; i < 2; i++)
            if (fds[i].revents && !let_in(doors[i]))
                nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000}, NULL);
    }
    return NULL;
}

int reception_start(struct http_server *s, struct err *err)
{
    if (pthread_create(&s->receptionist, NULL, receive, s) != 0)
        return err_set(err, LOV_EUNAVAILABLE, "cannot start a thread");
    s->receiving = true;
    return 0;
}

static void close_socket(struct door *door)
{
    if (door->fd >= 0)
        close(door->fd);
    door->fd = -1;
}

void reception_stop(struct http_server *s)
{
    if (s->receiving) {
        /* Ends the waiting for somebody to come. */
        shutdown(s->tcp.fd, SHUT_RDWR);
        shutdown(s->unix_door.fd, SHUT_RDWR);
        pthread_join(s->receptionist, NULL);
        s->receiving = false;
    }
    close_socket(&s->tcp);
    close_socket(&s->unix_door);
}
