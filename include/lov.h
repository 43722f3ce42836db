/*
 * lov.h - liblov: decide in your own process.
 *
 * A Lov server keeps a file, permits.idx, in which a decision's answer can be found without asking
 * the server. liblov maps that file and answers from it: the same code and the same rules as the
 * server, one or two cache lines a decision, no lock and no memory taken. It needs libc alone.
 * docs/liblov.md tells how to use it, docs/index-format.md what is in the file.
 *
 * What the server has acknowledged is in force here before the server's answer arrives: after a
 * withdrawal was answered, no call that starts later permits. Where the answer can't be known (the
 * server is not running, the file is damaged or gone, the clock ran backwards) it is no, with the
 * reason LOV_UNAVAILABLE.
 *
 * A struct lov may be used by any number of threads at once; it must not be used after lov_close.
 * After fork(2) a child may go on using its parent's handle. Texts are NUL-terminated UTF-8 and are
 * borrowed for the length of the call.
 */
#ifndef LOV_H
#define LOV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How functions that can fail do so. */
enum lov_error {
    LOV_EINVAL = -1,       /* the input is wrong; changed nothing */
    LOV_ENOTFOUND = -2,    /* no such thing, or not for this caller */
    LOV_ECONFLICT = -3,    /* not in the state of things as they are */
    LOV_EFORBIDDEN = -4,   /* known caller, not allowed */
    LOV_EAUTH = -5,        /* unknown caller */
    LOV_ELIMIT = -6,       /* too large, too many, too often */
    LOV_EUNAVAILABLE = -7, /* busy, stopping, or a dependency is gone: try again */
    LOV_EIO = -8,          /* disk, database or network failed */
    LOV_ECORRUPT = -9,     /* stored data does not verify */
    LOV_EVERSION = -10,    /* written by another version of Lov */
};

/* Why a decision is as it is; the numbers are stable. LOV_PERMITTED is the only yes. */
enum lov_reason {
    LOV_PERMITTED = 0,
    LOV_UNAVAILABLE = 1,
    LOV_RECIPIENT_UNKNOWN = 2,
    LOV_RECIPIENT_SUSPENDED = 3,
    LOV_RECIPIENT_CONTRACT_ENDED = 4,
    LOV_RECIPIENT_SAFEGUARDS_ENDED = 5,
    LOV_RECIPIENT_TRAINING_LAPSED = 6,
    LOV_NOT_IN_POLICY = 7,
    LOV_UNKNOWN_CONSUMER = 8,
    LOV_ERASED = 9,
    LOV_RESTRICTED = 10,
    LOV_NO_CONSENT = 11,
    LOV_WITHDRAWN = 12,
    LOV_REFUSED = 13,
    LOV_EXPIRED = 14,
    LOV_NOTICE_SUPERSEDED = 15,
    LOV_GUARDIAN_REQUIRED = 16,
    LOV_OPTED_OUT = 17,
    LOV_OBJECTED = 18,
    LOV_RECIPIENT_NOT_BEGUN = 19,
    LOV_REASON_COUNT
};

struct lov;
struct lov_question;

/* 64 bytes, the same on every machine that Lov runs on. */
struct lov_decision {
    int32_t permit;                 /* 1 or 0 */
    int32_t reason;                 /* enum lov_reason */
    int32_t basis;                  /* number of the legal basis in the policy; 0: none was found */
    int32_t law;                    /* number of the consumer's law in the policy; -1: not known */
    int32_t activity;               /* number of the activity in the policy; -1: there is none */
    int32_t policy_version;         /* 0: none in force */
    int64_t consent;                /* event of the ledger that recorded the consent; -1: none */
    int64_t at;                     /* the instant that was decided for, ms since 1970 UTC */
    uint32_t shard;                 /* of the ledger that `consent` is in */
    uint32_t no_automated_decision; /* 1: the consumer wants no decision by machines alone */
    uint32_t reserved[4];
};

/* Opens the index at `path`: an installation's folder, or the file itself. 0 and *out, or an error
 * and a sentence in `error` (up to `size` bytes with the NUL; may be NULL and 0):
 * LOV_ENOTFOUND no such file, LOV_EIO not readable, LOV_ECORRUPT damaged or not an index,
 * LOV_EVERSION of an older or newer format. The server need not be running.
 *
 * A file that another program cuts short under its readers makes reading it raise SIGBUS. lov_open
 * installs a handler that turns this into LOV_UNAVAILABLE and hands every other SIGBUS on to the
 * handler that was there before; a program with a handler of its own installs it before. */
int lov_open(const char *path, struct lov **out, char *error, size_t size);
void lov_close(struct lov *lov); /* NULL is nothing */

/* May `recipient` use `category` of `consumer` for `purpose` at `at` (ms since 1970 UTC; 0: now)?
 * 1 yes, 0 no. `out` may be NULL. Never anything else: what can't be answered is no.
 * With 0, `at` of the decision says when to about a tenth of a second; what ends within a second or
 * so is held to the exact clock: a consent is never honoured after its end. */
int lov_decide(struct lov *lov, const char *recipient, const char *purpose, const char *category,
               const char *consumer, int64_t at, struct lov_decision *out);

/* The same for `count` consumers; `out` has room for as many. Returns how many are permitted.
 * Memory is fetched ahead, which makes it faster than as many single calls. */
size_t lov_decide_many(struct lov *lov, const char *recipient, const char *purpose,
                       const char *category, const char *const *consumers, size_t count, int64_t at,
                       struct lov_decision *out);

/* A question that is asked of many consumers, one after the other: what the policy says about it is
 * looked up once, and again when the policy changes. For any number of threads; it must be freed
 * before its handle is closed. 0 and *out, LOV_EINVAL where `lov` or `out` is NULL, LOV_EIO where
 * memory is short. Names that the policy does not know are no error: their answer is no, until a
 * policy knows them. */
int lov_prepare(struct lov *lov, const char *recipient, const char *purpose, const char *category,
                struct lov_question **out);
void lov_question_free(struct lov_question *question); /* NULL is nothing */
/* As lov_decide() and lov_decide_many() answer it. */
int lov_ask(struct lov_question *question, const char *consumer, int64_t at,
            struct lov_decision *out);
size_t lov_ask_many(struct lov_question *question, const char *const *consumers, size_t count,
                    int64_t at, struct lov_decision *out);

/* Writes what a decision says as a JSON object: permit, reason, reason_text, basis, law, activity,
 * consent (event), policy_version, and for a permit its obligations. At most `size` bytes with the
 * NUL; returns the length that the whole has, as snprintf(3) does. Names that the policy in force
 * does not know any more are null. */
size_t lov_explain(struct lov *lov, const struct lov_decision *decision, char *out, size_t size);

/* "withdrawn"; NULL for a number that is no reason. */
const char *lov_reason_name(int reason);
/* One sentence in plain English. */
const char *lov_reason_text(int reason);
/* "0.1.0" */
const char *lov_version(void);

#ifdef __cplusplus
}
#endif
#endif
