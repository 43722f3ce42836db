/* listen.c - sockets to listen on. They are made here and not by libmicrohttpd, so that an error
 * says which address failed and why, and so that a Unix socket is never open to others, not even
 * for a moment. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/server.h"

enum { BACKLOG = 1024 };

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_storage storage;
};

static bool parse_address(const char *text, union address *out, socklen_t *size)
{
    struct str rest = str_of(text), host;
    bool v6 = rest.n && rest.p[0] == '[';
    if (v6) {
        str_cut(&rest, '[');
        host = str_cut(&rest, ']');
        if (!rest.n || rest.p[0] != ':')
            return false;
        str_cut(&rest, ':');
    } else {
        host = str_cut(&rest, ':');
    }
    char name[64];
    int64_t port;
    if (!str_to_int(rest, 0, 65535, &port) || host.n >= sizeof name)
        return false;
    snprintf(name, sizeof name, "%.*s", STR_ARG(host));
    memset(out, 0, sizeof *out);
    if (v6) {
        out->in6.sin6_family = AF_INET6;
        out->in6.sin6_port = htons((uint16_t)port);
        *size = sizeof out->in6;
        return inet_pton(AF_INET6, name, &out->in6.sin6_addr) == 1;
    }
    out->in.sin_family = AF_INET;
    out->in.sin_port = htons((uint16_t)port);
    *size = sizeof out->in;
    return inet_pton(AF_INET, strcmp(name, "localhost") == 0 ? "127.0.0.1" : name,
                     &out->in.sin_addr) == 1;
}

static bool is_loopback(const union address *a)
{
    if (a->any.sa_family == AF_INET)
        return ntohl(a->in.sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

static int listen_failed(int fd, const char *where, struct err *err)
{
    int rc = err_set(err, errno == EADDRINUSE ? LOV_ECONFLICT : LOV_EIO, "cannot listen on %s: %s",
                     where, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

int listen_tcp(const char *text, bool anywhere, int *out, struct err *err)
{
    union address address;
    socklen_t size = 0;
    if (!parse_address(text, &address, &size))
        return err_set(err, LOV_EINVAL,
                       "\"%s\" is not an address: write it as 127.0.0.1:8787 or [::1]:8787", text);
    if (!anywhere && !is_loopback(&address))
        return err_set(err, LOV_EINVAL,
                       "%s can be reached from other machines, and without TLS what is sent can be "
                       "read on the way: configure a certificate, or listen on 127.0.0.1",
                       text);
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return listen_failed(fd, text, err);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, &address.any, size) != 0 || listen(fd, BACKLOG) != 0)
        return listen_failed(fd, text, err);
    *out = fd;
    return 0;
}

void listen_address(int fd, char *out, size_t size)
{
    union address address = {0};
    socklen_t length = sizeof address;
    char name[INET6_ADDRSTRLEN] = "";
    if (getsockname(fd, &address.any, &length) != 0)
        bug("getsockname: %s", strerror(errno));
    if (address.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address.in6.sin6_addr, name, sizeof name);
        snprintf(out, size, "[%s]:%u", name, (unsigned)ntohs(address.in6.sin6_port));
    } else {
        inet_ntop(AF_INET, &address.in.sin_addr, name, sizeof name);
        snprintf(out, size, "%s:%u", name, (unsigned)ntohs(address.in.sin_port));
    }
}

/* Removes what a stopped process left behind. */
static int remove_stale(const struct sockaddr_un *address, struct err *err)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, LOV_ECONFLICT, "%s is there and is not a socket", address->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(err, LOV_EIO, "cannot make a socket: %s", strerror(errno));
    bool refused = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                   errno == ECONNREFUSED;
    close(fd);
    if (!refused)
        return err_set(err, LOV_ECONFLICT,
                       "another process answers on %s: stop it, or choose another path",
                       address->sun_path);
    unlink(address->sun_path);
    return 0;
}

int listen_unix(const char *path, int *out, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct str text = str_of(path);
    if (text.n == 0 || text.n >= sizeof address.sun_path)
        return err_set(err, LOV_EINVAL, "the path of the local socket must have 1 to %zu bytes",
                       sizeof address.sun_path - 1);
    memcpy(address.sun_path, text.p, text.n);
    int rc = remove_stale(&address, err);
    if (rc)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return listen_failed(fd, path, err);
    /* On Linux the file gets the mode of the socket behind it: umask, which belongs to the whole
     * process, need not be touched. Until listen() nobody can connect anyway. */
    if (fchmod(fd, 0600) != 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return listen_failed(fd, path, err);
    if (chmod(path, 0600) != 0 || listen(fd, BACKLOG) != 0) {
        rc = listen_failed(fd, path, err);
        unlink(path);
        return rc;
    }
    *out = fd;
    return 0;
}
