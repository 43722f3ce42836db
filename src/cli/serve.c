/* serve.c - lov serve. Signals are taken by the main thread alone, with sigwait(3): they are
 * blocked before the first thread starts, so that nothing has to run inside a signal handler. */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "api/api.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "notify/notify.h"
#include "rights/rights.h"
#include "web/web.h"

enum { STOP_SECONDS = 30 };

struct serving {
    struct cli *c;
    const char *dir;
    struct buf socket, witnesses;
    struct engine *engine;
    struct api *api;
    struct web *web;
    struct http_server *server;
    struct notify *notify;
    struct notify_options telling;
    struct buf credentials, portal; /* of the mail server; of the page that e-mails lead to */
    struct http_options options;
    unsigned checkpoint_seconds, audit_seconds, aggregate_seconds;
};

/* ---- settings ---- */

static int read_numbers(struct cli *c, struct http_options *o, struct err *err)
{
    const struct {
        const char *name;
        int64_t most;
        unsigned *out;
    } numbers[] = {
        {"threads", 256, &o->threads},
        {"rate-limit", 10000000, &o->requests_per_second},
        {"connections", 1000000, &o->connections},
        {"connections-per-address", 1000000, &o->connections_per_address},
        {"timeout", 3600, &o->idle_seconds},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof numbers / sizeof *numbers; i++) {
        int64_t number = 0;
        rc = cli_number(c, numbers[i].name, 1, numbers[i].most, &number, err);
        *numbers[i].out = (unsigned)number;
    }
    return rc;
}

/* A file of two lines, user and password. */
static int read_credentials(struct serving *s, struct mail_options *o, struct err *err)
{
    enum { CREDENTIALS_MAX = 4096 };
    const char *path = cli_value(s->c, "smtp-credentials");
    if (!path)
        return 0;
    int rc = file_check_private(path, err);
    if (rc == 0)
        rc = file_read(path, CREDENTIALS_MAX, &s->credentials, err);
    if (rc)
        return rc;
    char *line = s->credentials.p ? strchr(s->credentials.p, '\n') : NULL;
    if (!line || line == s->credentials.p || !line[1] || line[1] == '\n')
        return err_set(err, LOV_EINVAL, "%s has two lines: the user and the password", path);
    *line = '\0';
    line[1 + strcspn(line + 1, "\r\n")] = '\0';
    s->credentials.p[strcspn(s->credentials.p, "\r")] = '\0';
    o->user = s->credentials.p;
    o->password = line + 1;
    return 0;
}

static int read_mail(struct serving *s, struct mail_options *o, struct err *err)
{
    struct str base = str_of(cli_value(s->c, "base-url"));
    *o = (struct mail_options){
        .url = cli_value(s->c, "smtp-url"),
        .from = cli_value(s->c, "smtp-from"),
        .word = web_word,
    };
    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    if (base.n) {
        buf_printf(&s->portal, "%.*s/portal/messages", STR_ARG(base));
        o->portal = s->portal.p;
    }
    int rc = read_credentials(s, o, err);
    return rc ? rc : mail_options_check(o, err);
}

static int read_telling(struct serving *s, struct err *err)
{
    int64_t retry = 0, attempts = 0, timeout = 0;
    int rc = cli_number(s->c, "webhook-retry-seconds", 1, 3600, &retry, err);
    if (rc == 0)
        rc = cli_number(s->c, "webhook-attempts", 1, 20, &attempts, err);
    if (rc == 0)
        rc = cli_number(s->c, "webhook-timeout", 1, 300, &timeout, err);
    s->telling = (struct notify_options){
        .private_addresses = cli_value(s->c, "webhook-private") != NULL,
        .ca_file = cli_value(s->c, "webhook-ca"),
        .retry_seconds = (unsigned)retry,
        .attempts = (unsigned)attempts,
        .timeout_seconds = (unsigned)timeout,
        .told_name = notification_name,
    };
    return rc ? rc : read_mail(s, &s->telling.mail, err);
}

static int read_intervals(struct serving *s, struct err *err)
{
    int64_t checkpoint = 0, audit = 0, aggregate = 0;
    int rc = cli_number(s->c, "checkpoint-seconds", 1, 86400, &checkpoint, err);
    if (rc == 0)
        rc = cli_number(s->c, "audit-seconds", 1, 86400, &audit, err);
    if (rc == 0)
        rc = cli_number(s->c, "aggregate-seconds", 1, 86400, &aggregate, err);
    if (rc == 0)
        rc = read_telling(s, err);
    s->checkpoint_seconds = (unsigned)checkpoint;
    s->audit_seconds = (unsigned)audit;
    s->aggregate_seconds = (unsigned)aggregate;
    return rc;
}

static int read_options(struct serving *s, struct err *err)
{
    struct cli *c = s->c;
    struct http_options *o = &s->options;
    const char *listen = cli_value(c, "listen");
    int rc = cli_dir(c, &s->dir, err);
    if (rc)
        return rc;
    buf_printf(&s->socket, "%s/socket", s->dir);
    buf_printf(&s->witnesses, "%s/witnesses", s->dir);
    o->listen = listen ? listen : "127.0.0.1:8787";
    o->socket_path = s->socket.p;
    o->tls_cert = cli_value(c, "tls-cert");
    o->tls_key = cli_value(c, "tls-key");
    o->allow_remote = cli_value(c, "allow-remote") != NULL;
    o->log = &c->log;
    if (!o->tls_cert != !o->tls_key)
        return err_reason(err, LOV_EINVAL, "usage", "give --tls-cert and --tls-key, or neither");
    rc = o->tls_key ? file_check_private(o->tls_key, err) : 0;
    if (rc == 0)
        rc = read_numbers(c, o, err);
    return rc ? rc : read_intervals(s, err);
}

/* DIR/log-level, where there is one, holds one word and wins over --log-level, so that the level of
 * a server that runs can be changed: write it and send SIGHUP. */
static int read_level(struct serving *s, struct err *err)
{
    _cleanup_buf struct buf path = {0};
    _cleanup_buf struct buf text = {0};
    enum log_level level = LOG_INFO;
    const char *option = cli_value(s->c, "log-level");
    buf_printf(&path, "%s/log-level", s->dir);
    if (option)
        log_level_parse(str_of(option), &level);
    if (file_exists(path.p)) {
        int rc = file_read(path.p, 64, &text, err);
        if (rc)
            return rc;
        if (!log_level_parse(str_trim(buf_view(&text)), &level))
            return err_set(err, LOV_EINVAL, "%s holds one of: error warn info debug", path.p);
    }
    atomic_store_explicit(&s->c->log.level, (int)level, memory_order_relaxed);
    return 0;
}

/* ---- life ---- */

/* As many open files as the connections need, and the stores: the soft limit is often 1024. */
static void raise_file_limit(struct cli *c, const struct http_options *o)
{
    enum { CONNECTIONS = 4096, OTHERS = 256 };
    rlim_t needed = (o->connections ? o->connections : CONNECTIONS) + OTHERS;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return;
    limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < needed)
        log_printf(&c->log, LOG_WARN,
                   "only %llu files may be open: fewer connections than %llu (raise ulimit -n)",
                   (unsigned long long)limit.rlim_cur, (unsigned long long)needed - OTHERS);
}

static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

/* Browsers reach it over HTTPS: here, or at a proxy in front. */
static bool is_secure(const struct serving *s)
{
    struct str url = str_of(cli_value(s->c, "base-url"));
    return s->options.tls_cert || str_starts(url, STR("https://"));
}

/* issuer NULL: there is none. */
static int read_provider(struct serving *s, struct provider_options *out, struct buf *secret,
                         struct err *err)
{
    enum { SECRET_MAX = 4096 };
    const char *file = cli_value(s->c, "oidc-secret");
    *out = (struct provider_options){
        .issuer = cli_value(s->c, "oidc-issuer"),
        .client = cli_value(s->c, "oidc-client"),
        .claim = cli_value(s->c, "oidc-claim"),
    };
    if (!out->issuer != !out->client || ((file || out->claim) && !out->issuer))
        return err_reason(err, LOV_EINVAL, "usage",
                          "--oidc-issuer and --oidc-client belong together");
    if (!file)
        return 0;
    int rc = file_check_private(file, err);
    if (rc == 0)
        rc = file_read(file, SECRET_MAX, secret, err);
    if (rc)
        return rc;
    while (secret->n && strchr("\r\n", secret->p[secret->n - 1]))
        secret->p[--secret->n] = '\0';
    out->secret = secret->p;
    return 0;
}

static int start(struct serving *s, struct err *err)
{
    struct api_options options = {
        .base_url = cli_value(s->c, "base-url"),
        .witnesses_path = s->witnesses.p,
        .public_entries = cli_value(s->c, "public-entries") != NULL,
        .checkpoint_seconds = s->checkpoint_seconds,
        .audit_seconds = s->audit_seconds,
        .aggregate_seconds = s->aggregate_seconds,
    };
    struct provider_options provider;
    _cleanup_buf struct buf secret = {0};
    int rc = read_provider(s, &provider, &secret, err);
    if (rc)
        return rc;
    struct web_options pages = {.secure = is_secure(s),
                                .base_url = cli_value(s->c, "base-url"),
                                .provider = provider.issuer ? &provider : NULL,
                                .training_url = cli_value(s->c, "training-url")};
    rc = cli_open_engine(s->c, s->dir, &s->engine, err);
    if (rc == 0)
        rc = web_open(s->engine, &pages, &s->web, err);
    options.more = web_routes(&options.more_count);
    options.more_ctx = s->web;
    if (rc == 0)
        rc = api_open(s->engine, &options, &s->api, err);
    if (rc == 0)
        rc = http_server_start(&s->options, api_app(s->api), &s->server, err);
    if (rc)
        return rc;
    api_set_server(s->api, s->server);
    rc = engine_keep_audiences(s->engine, err);
    s->telling.mail.ctx = s->web;
    if (rc == 0)
        rc = notify_start(s->engine, &s->telling, &s->notify, err);
    if (rc)
        return rc;
    api_set_notify(s->api, s->notify);
    return api_start_housekeeping(s->api, err);
}

static void announce(const struct serving *s)
{
    const char *scheme = http_server_scheme(s->server);
    struct str address = http_server_address(s->server);
    if (!s->c->json) {
        printf("lov serves %s on %s://%.*s\n", s->dir, scheme, STR_ARG(address));
        fflush(stdout);
        return;
    }
    _cleanup_buf struct buf out = {0};
    _cleanup_buf struct buf url = {0};
    struct jw w = {.out = &out};
    buf_printf(&url, "%s://%.*s", scheme, STR_ARG(address));
    jw_object_start(&w);
    jw_cstr_member(&w, "dir", s->dir);
    jw_str_member(&w, "url", buf_view(&url));
    jw_str_member(&w, "socket", buf_view(&s->socket));
    jw_object_end(&w);
    puts(out.p);
    fflush(stdout);
}

/* A reload that fails leaves everything as it was. */
static void reload(struct serving *s)
{
    struct err err = {0};
    int rc = read_level(s, &err);
    if (rc == 0 && s->options.tls_cert)
        rc = file_check_private(s->options.tls_key, &err);
    if (rc == 0)
        rc = http_server_reload(s->server, &err);
    if (rc)
        log_printf(&s->c->log, LOG_ERROR, "reload failed, nothing changed: %s", err.text);
    else
        log_printf(&s->c->log, LOG_INFO, "reloaded certificates and log level");
}

static void wait_for_the_end(struct serving *s, const sigset_t *set)
{
    int signal = 0;
    while (sigwait(set, &signal) == 0 && signal == SIGHUP)
        reload(s);
    log_printf(&s->c->log, LOG_INFO, "stopping: finishing what is in flight");
}

static void stop(struct serving *s)
{
    if (s->server) {
        api_set_server(s->api, NULL);
        web_stop_streams(s->web);
        http_server_stop(s->server, STOP_SECONDS);
    }
    if (s->api)
        api_set_notify(s->api, NULL);
    notify_stop(s->notify);
    if (s->api)
        api_close(s->api);
    web_close(s->web);
    engine_close(s->engine);
    buf_free(&s->socket);
    buf_free(&s->witnesses);
    secret_wipe_bytes(s->credentials.p, s->credentials.n);
    buf_free(&s->credentials);
    buf_free(&s->portal);
}

/* Serves the API until SIGTERM or SIGINT. */
static int run_serve(struct cli *c)
{
    struct err err = {0};
    sigset_t signals;
    struct serving s = {.c = c};
    block_signals(&signals);
    int rc = read_options(&s, &err);
    if (rc == 0)
        rc = read_level(&s, &err);
    if (rc == 0) {
        raise_file_limit(c, &s.options);
        rc = start(&s, &err);
    }
    if (rc == 0) {
        announce(&s);
        wait_for_the_end(&s, &signals);
    }
    int code = rc ? cli_fail(c, &err) : CLI_YES;
    stop(&s);
    /* There is no question here to which the answer would be no. */
    return code == CLI_NO ? CLI_UNAVAILABLE : code;
}

static const struct cli_option options[] = {
    {"listen", "ADDRESS:PORT", "where to listen; 127.0.0.1:8787 when not given, port 0: a free one",
     NULL, false},
    {"tls-cert", "FILE", "certificate chain (PEM): serve HTTPS", NULL, false},
    {"tls-key", "FILE", "its key (PEM), readable by its owner alone", NULL, false},
    {"threads", "N", "threads that serve; one for each core when not given", NULL, false},
    {"rate-limit", "N", "requests a second of one caller; no limit when not given", NULL, false},
    {"connections", "N", "connections at a time; 4096 when not given", NULL, false},
    {"connections-per-address", "N", "of them from one address; no limit when not given", NULL,
     false},
    {"timeout", "SECONDS", "for a request to become whole, and for silence; 30 when not given",
     NULL, false},
    {"allow-remote", NULL, "listen on other than loopback addresses without TLS", NULL, false},
    {"log-level", "LEVEL", "what is logged; info when not given", "error warn info debug", false},
    {"checkpoint-seconds", "N", "how often what is new is signed; 10 when not given", NULL, false},
    {"audit-seconds", "N", "how often the ledger is audited; 60 when not given", NULL, false},
    {"aggregate-seconds", "N", "how often new records are summed up; 60 when not given", NULL,
     false},
    {"public-entries", NULL, "let anybody read the entries of the log", NULL, false},
    {"base-url", "URL", "what callers and browsers reach the server by", NULL, false},
    {"oidc-issuer", "URL", "consumers sign in with this OpenID provider", NULL, false},
    {"oidc-client", "ID", "what the provider knows the portal by", NULL, false},
    {"oidc-secret", "FILE", "the client's secret; a public client when not given", NULL, false},
    {"training-url", "URL", "where staff renew the training that the console demands", NULL, false},
    {"oidc-claim", "NAME", "holds the consumer's id; sub when not given", NULL, false},
    {"webhook-private", NULL, "webhooks may go to this machine and its networks", NULL, false},
    {"webhook-ca", "FILE",
     "authorities (PEM) of webhooks and the mail server; the system's when not given", NULL, false},
    {"webhook-timeout", "SECONDS", "for one message; 20 when not given", NULL, false},
    {"webhook-attempts", "N", "to deliver an event; 10 when not given", NULL, false},
    {"webhook-retry-seconds", "N", "until the second attempt; 5 when not given", NULL, false},
    {"smtp-url", "URL", "send e-mails through it: smtp://HOST:PORT with STARTTLS, smtps://HOST",
     NULL, false},
    {"smtp-from", "ADDRESS", "whom they are from", NULL, false},
    {"smtp-credentials", "FILE", "user and password, a line each, readable by its owner alone",
     NULL, false},
};
const struct cli_command cmd_serve = {
    .name = "serve",
    .arguments = "",
    .summary = "serve the HTTP API",
    .text =
        "Prints one line when it serves, and logs JSON lines without personal data on stderr. "
        "Other\n"
        "commands with the same DIR then speak to it over DIR/socket.\n"
        "\n"
        "SIGTERM and SIGINT finish what is in flight and end with exit code 0. SIGHUP reads the\n"
        "certificate, the key and DIR/log-level again; that file, where there is one, holds one\n"
        "word and wins over --log-level. It does not start when others than the owner can read "
        "the\n"
        "folder or a key in it.\n"
        "\n"
        "DIR/witnesses, where there is one, holds verifier keys, one a line: cosignatures by these\n"
        "are kept and served with the checkpoint.",
    CLI_OPTIONS(options),
    .run = run_serve,
};
