/* mail.c - e-mails that say that there is a message. They go in clear through others' hands, so
 * they say no more than that, in one e-mail however many messages wait; and they go only to an
 * address that the consumer signs in with. A mail is noted as sent once the server has taken it:
 * one that is sent twice, since the process was killed in between, has the same Message-ID. */
#include "identity/account.h"
#include "notify/private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
    LOOK_MS = 1000,
    MAILS_AT_ONCE = 20,
    TRIES = 6,
    FIRST_WAIT_MS = 60000,
    TOO_OLD_MS = 7 * 86400000,
    SECONDS = 30,
    CONNECT_SECONDS = 10,
};

struct mailer {
    struct engine *engine;
    struct mail_options options;
    bool private_network; /* the server is this machine's: STARTTLS is not demanded */
    const char *ca_file;
    struct secret key; /* of Message-IDs */
    pthread_t thread;
    _Atomic bool stopping;
    bool fails;
    _Atomic uint64_t sent, failed; /* relaxed */
};

/* ---- addresses ---- */

bool mail_address_check(struct str address)
{
    struct str domain = address, local = str_cut(&domain, '@');
    if (!local.n || local.n > 64 || domain.n < 3 || address.n > ACCOUNT_NAME_MAX)
        return false;
    /* An atom of RFC 5322 §3.2.3 with dots: what needs quotes is nobody's address in practice. */
    for (size_t i = 0; i < local.n; i++)
        if (local.p[i] <= 0x20 || local.p[i] >= 0x7f || strchr("()<>[]:;@\\,\"", local.p[i]))
            return false;
    bool dot = false;
    for (size_t i = 0; i < domain.n; i++) {
        char c = domain.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool inside = i && i + 1 < domain.n && domain.p[i - 1] != '.';
        if (!letter && !(inside && (c == '.' || c == '-')))
            return false;
        dot = dot || c == '.';
    }
    return dot && local.p[0] != '.' && local.p[0] != '-';
}

/* The host of smtp://host:port. */
static bool is_of_this_machine(const char *url)
{
    struct str host = str_of(url);
    size_t at = str_find(host, '/');
    if (at + 2 > host.n)
        return false;
    host = (struct str){host.p + at + 2, host.n - at - 2};
    host = str_cut(&host, '/');
    if (host.n && host.p[0] == '[')
        host.n = str_find(host, ']') + 1;
    else
        host = str_cut(&host, ':');
    return host_is_loopback(host);
}

int mail_options_check(const struct mail_options *o, struct err *err)
{
    if (!o->url)
        return !o->from && !o->user
                   ? 0
                   : err_reason(err, LOV_EINVAL, "usage", "say --smtp-url, or nothing of SMTP");
    if (!str_starts(str_of(o->url), STR("smtp://")) && !str_starts(str_of(o->url), STR("smtps://")))
        return err_reason(err, LOV_EINVAL, "usage", "--smtp-url begins with smtp:// or smtps://");
    if (!o->from || !mail_address_check(str_of(o->from)))
        return err_reason(err, LOV_EINVAL, "usage", "--smtp-from is an e-mail address");
    if (!o->portal)
        return err_reason(err, LOV_EINVAL, "usage",
                          "with --smtp-url say --base-url, which e-mails lead to");
    return 0;
}

/* ---- one e-mail ---- */

/* RFC 2047 §2: words of at most 75 characters; nothing to encode stays as it is. */
static void header_text(struct buf *out, struct str text)
{
    enum { WORD = 42 };
    bool plain = str_no_controls(text, false);
    for (size_t i = 0; i < text.n; i++)
        plain = plain && text.p[i] < 0x7f && text.p[i] >= 0x20;
    if (plain && text.n < 60 && str_find(text, '=') == text.n) {
        buf_str(out, text);
        return;
    }
    for (bool first = true; text.n; first = false) {
        struct str head = str_utf8_head(text, WORD);
        buf_cstr(out, first ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?");
        base64_encode(head.p, head.n, out);
        buf_cstr(out, "?=");
        text.p += head.n;
        text.n -= head.n;
        if (!head.n)
            break;
    }
}

static void body_text(struct buf *out, struct str text)
{
    enum { LINE = 54 }; /* 72 characters */
    for (size_t i = 0; i < text.n; i += LINE) {
        base64_encode(text.p + i, text.n - i < LINE ? text.n - i : LINE, out);
        buf_cstr(out, "\r\n");
    }
}

static void date_header(struct buf *out, int64_t at)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t seconds = at / 1000;
    struct civil c = civil_from_days((int32_t)(seconds / 86400));
    buf_printf(out, "%s, %d %s %d %02d:%02d:%02d +0000", days[(seconds / 86400 + 4) % 7], c.day,
               months[c.month - 1], c.year, (int)(seconds / 3600 % 24), (int)(seconds / 60 % 60),
               (int)(seconds % 60));
}

struct letter {
    struct uid cid;
    uint32_t shard;
    int64_t attempts, first_at; /* of the oldest message that waits */
    struct buf to, text;
    size_t sent;
};

/* The same for the same messages, and nobody's. */
static void message_id(const struct mailer *m, const struct letter *l, struct buf *out)
{
    _cleanup_buf struct buf of = {0};
    struct str domain = str_of(m->options.from);
    str_cut(&domain, '@');
    buf_add(&of, l->cid.b, sizeof l->cid.b);
    buf_int(&of, l->first_at);
    struct sha256 mac = hmac_sha256(&m->key, buf_view(&of));
    buf_char(out, '<');
    hex_encode(mac.b, 16, out);
    buf_printf(out, "@%.*s>", STR_ARG(domain));
}

static struct str word(const struct mailer *m, struct str language, const char *name)
{
    return m->options.word(m->options.ctx, language, name);
}

static void write_letter(const struct mailer *m, struct letter *l, struct str company,
                         struct str language)
{
    _cleanup_buf struct buf subject = {0}, body = {0};
    struct buf *out = &l->text;
    buf_printf(&subject, "%.*s: %.*s", STR_ARG(company),
               STR_ARG(word(m, language, "mail_subject")));
    buf_printf(&body, "%.*s\r\n\r\n%s\r\n\r\n%.*s\r\n", STR_ARG(word(m, language, "mail_body")),
               m->options.portal, STR_ARG(word(m, language, "mail_foot")));
    buf_cstr(out, "Date: ");
    date_header(out, clock_now());
    buf_printf(out, "\r\nFrom: <%s>\r\nTo: <%s>\r\nSubject: ", m->options.from, l->to.p);
    header_text(out, buf_view(&subject));
    buf_cstr(out, "\r\nMessage-ID: ");
    message_id(m, l, out);
    buf_cstr(out, "\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                  "Content-Type: text/plain; charset=utf-8\r\n"
                  "Content-Transfer-Encoding: base64\r\n\r\n");
    body_text(out, buf_view(&body));
}

/* ---- sending ---- */

static size_t read_letter(char *p, size_t size, size_t n, void *ctx)
{
    struct letter *l = ctx;
    size_t left = l->text.n - l->sent, take = size * n < left ? size * n : left;
    memcpy(p, l->text.p + l->sent, take);
    l->sent += take;
    return take;
}

static int send_letter(const struct mailer *m, struct letter *l, struct err *err)
{
    struct curl_slist *to = curl_slist_append(NULL, l->to.p);
    CURL *c = curl_easy_init();
    if (!c || !to)
        bug("no memory for an e-mail");
    curl_easy_setopt(c, CURLOPT_URL, m->options.url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)SECONDS);
    /* RFC 3207; on this machine's loopback nobody listens in between. */
    curl_easy_setopt(c, CURLOPT_USE_SSL,
                     m->private_network ? (long)CURLUSESSL_TRY : (long)CURLUSESSL_ALL);
    if (m->ca_file)
        curl_easy_setopt(c, CURLOPT_CAINFO, m->ca_file);
    if (m->options.user) {
        curl_easy_setopt(c, CURLOPT_USERNAME, m->options.user);
        curl_easy_setopt(c, CURLOPT_PASSWORD, m->options.password);
    }
    curl_easy_setopt(c, CURLOPT_MAIL_FROM, m->options.from);
    curl_easy_setopt(c, CURLOPT_MAIL_RCPT, to);
    curl_easy_setopt(c, CURLOPT_READFUNCTION, read_letter);
    curl_easy_setopt(c, CURLOPT_READDATA, l);
    curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
    CURLcode rc = curl_easy_perform(c);
    curl_easy_cleanup(c);
    curl_slist_free_all(to);
    return rc == CURLE_OK
               ? 0
               : err_set(err, LOV_EUNAVAILABLE, "the mail server: %s", curl_easy_strerror(rc));
}

/* ---- rows ---- */

struct note_job {
    struct write_job job; /* first */
    const struct letter *letter;
    int64_t mail_at; /* TIME_NONE: no more */
    int64_t up_to;
};

static int run_note(struct write_job *job, struct write_stores *stores, struct err *err)
{
    static const char sql[] =
        "update message set mail_at = $4, mail_attempts = mail_attempts + 1 where shard = $1 and "
        "cid = $2 and mail_at is not null and mail_at <= $3";
    const struct note_job *n = (const struct note_job *)job;
    struct db_stmt *s = db_use(stores->lov, sql);
    db_bind_int(s, 1, n->letter->shard);
    db_bind_blob(s, 2, uid_str(&n->letter->cid));
    db_bind_int(s, 3, n->up_to);
    if (n->mail_at == TIME_NONE)
        db_bind_null(s, 4);
    else
        db_bind_int(s, 4, n->mail_at);
    return db_run(s, err);
}

static int note(struct mailer *m, const struct letter *l, int64_t mail_at, int64_t up_to,
                struct err *err)
{
    struct note_job job = {.job.run = run_note, .letter = l, .mail_at = mail_at, .up_to = up_to};
    return writer_run(engine_writer(m->engine), &job.job, err);
}

/* 1: *l has an address and its language is *language; 0: there is none to send to. */
static int read_person(struct mailer *m, struct letter *l, struct arena *arena,
                       struct str *language, struct err *err)
{
    struct account account = {0};
    struct db *db;
    int rc = db_pool_get(engine_identities(m->engine), &db, err);
    if (rc)
        return rc;
    rc = account_get(db, &l->cid, arena, &account, err);
    if (rc == 1)
        rc = account_name(engine_identity(m->engine), db, &l->cid, &l->to, err);
    db_pool_put(engine_identities(m->engine), db);
    *language = account.words;
    return rc == 1 && !mail_address_check(buf_view(&l->to)) ? 0 : rc;
}

static struct str company_of(struct mailer *m, struct arena *arena, struct str *language)
{
    struct rules *rules = engine_rules(m->engine);
    struct str name = STR("Lov");
    if (rules) {
        const struct policy *p = rules_policy(rules);
        name = arena_str(arena, p->controller_name);
        if (!language->n && p->language_count)
            *language = arena_str(arena, p->languages[0]);
    }
    rules_unref(rules);
    return name;
}

static int send_one(struct mailer *m, struct letter *l, int64_t now, struct err *err)
{
    _cleanup_arena struct arena arena = {0};
    struct err why = {0};
    struct str language = {0};
    int rc = read_person(m, l, &arena, &language, err);
    if (rc < 0)
        return rc;
    if (rc == 0 || now - l->first_at > TOO_OLD_MS)
        return note(m, l, TIME_NONE, now, err);
    struct str company = company_of(m, &arena, &language);
    write_letter(m, l, company, language);
    if (send_letter(m, l, &why) == 0) {
        atomic_fetch_add_explicit(&m->sent, 1, memory_order_relaxed);
        m->fails = false;
        return note(m, l, TIME_NONE, now, err);
    }
    atomic_fetch_add_explicit(&m->failed, 1, memory_order_relaxed);
    if (!m->fails)
        log_printf(engine_log(m->engine), LOG_ERROR, "an e-mail was not sent: %s", why.text);
    m->fails = true;
    int64_t wait = (int64_t)FIRST_WAIT_MS << (2 * (l->attempts < TRIES ? l->attempts : TRIES));
    return note(m, l, l->attempts + 1 < TRIES ? now + wait : TIME_NONE, now, err);
}

static int read_due(struct db *lov, struct letter *letters, size_t *count, int64_t now,
                    struct err *err)
{
    static const char sql[] =
        "select shard, cid, max(mail_attempts), min(at) from message where mail_at is not null "
        "and mail_at <= $1 group by shard, cid order by min(mail_at) limit $2";
    struct db_stmt *s = db_use(lov, sql);
    int rc;
    db_bind_int(s, 1, now);
    db_bind_int(s, 2, MAILS_AT_ONCE);
    while ((rc = db_step(s, err)) == 1) {
        struct letter *l = &letters[(*count)++];
        struct str cid = db_blob(s, 1);
        l->shard = (uint32_t)db_int(s, 0);
        l->attempts = db_int(s, 2);
        l->first_at = db_int(s, 3);
        if (cid.n == sizeof l->cid.b)
            memcpy(l->cid.b, cid.p, cid.n);
    }
    return rc;
}

static bool is_stopping(const struct mailer *m)
{
    /* Relaxed: nothing else is told by it. */
    return atomic_load_explicit(&m->stopping, memory_order_relaxed);
}

static int send_due(struct mailer *m, size_t *count, struct err *err)
{
    struct letter letters[MAILS_AT_ONCE] = {0};
    int64_t now = clock_now();
    struct db *lov;
    int rc = db_pool_get_rows(engine_lov(m->engine), &lov, err);
    if (rc)
        return rc;
    rc = read_due(lov, letters, count, now, err);
    db_pool_put(engine_lov(m->engine), lov);
    for (size_t i = 0; rc == 0 && i < *count && !is_stopping(m); i++)
        rc = send_one(m, &letters[i], now, err);
    for (size_t i = 0; i < *count; i++) {
        buf_free(&letters[i].to);
        buf_free(&letters[i].text);
    }
    return rc;
}

static void rest(void)
{
    struct timespec t = {.tv_nsec = LOOK_MS / 10 * 1000000L};
    nanosleep(&t, NULL);
}

static void *send_mails(void *arg)
{
    struct mailer *m = arg;
    while (!is_stopping(m)) {
        struct err err = {0};
        size_t count = 0;
        int rc = send_due(m, &count, &err);
        if (rc)
            log_printf(engine_log(m->engine), LOG_ERROR, "e-mails: %s", err.text);
        for (int i = 0; i < 10 && (rc || count < MAILS_AT_ONCE) && !is_stopping(m); i++)
            rest();
    }
    return NULL;
}

struct mailer *mailer_start(struct engine *e, const struct notify_options *o)
{
    if (!o->mail.url)
        return NULL;
    struct mailer *m = mem_zero(sizeof *m);
    m->engine = e;
    m->options = o->mail;
    m->private_network = is_of_this_machine(o->mail.url);
    m->ca_file = o->ca_file;
    m->key = identity_secret(engine_identity(e), "mail");
    if (pthread_create(&m->thread, NULL, send_mails, m))
        bug("no thread for e-mails");
    pthread_setname_np(m->thread, "lov-mail");
    return m;
}

void mailer_stop(struct mailer *m)
{
    if (!m)
        return;
    atomic_store_explicit(&m->stopping, true, memory_order_relaxed);
    pthread_join(m->thread, NULL);
    secret_wipe(&m->key);
    free(m);
}

void mailer_counts(const struct mailer *m, struct notify_counts *out)
{
    out->mails = atomic_load_explicit(&m->sent, memory_order_relaxed);
    out->mails_failed = atomic_load_explicit(&m->failed, memory_order_relaxed);
}
