/* receipt_private.h - what a receipt is made of. Private. */
#ifndef LOV_CONSENT_RECEIPT_PRIVATE_H
#define LOV_CONSENT_RECEIPT_PRIVATE_H

#include "base/json.h"
#include "consent/consent.h"
#include "consent/receipt.h"
#include "ledger/proof.h"

/* Of DPV's guide to ISO/IEC TS 27560. */
#define RECEIPT_SCHEMA "https://w3id.org/dpv/schema/dpv-27560#"
extern const char receipt_context[]; /* JSON */

struct receipt_facts {
    struct ledger_event event;
    struct str encoding;    /* of the event */
    struct consent consent; /* as the event left it */
    struct str id;          /* of the consent, public */
    int64_t now;
    struct proof path;
    struct str checkpoint;       /* the signed note */
    const struct policy *policy; /* in force now, for words; names that it lacks have none */
    struct str notice_title, notice_text; /* empty: no longer there */
    struct str consumer;                  /* the controller's id; empty: not the consumer's copy */
    struct str personal;                  /* JSON; empty: nothing, or not the consumer's copy */
};

/* "dpv:ConsentGiven" of "consent.give"; NULL where there is no receipt for such an event. */
const char *receipt_status(struct str kind);
/* "dpv:DataSubject"; NULL where nobody did it. */
const char *receipt_indicated_by(struct str kind, bool by_guardian);
/* Until when what the event says holds: appends a time and returns true, or what ends it. */
bool receipt_until(const struct consent *c, struct buf *out);
/* "dpv:UntilTimeDuration" of the former. */
const char *receipt_duration(bool ends);

/* The member of a member, as far as the NULL-ended path names them; NULL where there is none. */
const json_t *receipt_member(const json_t *json, const char *const *path);
/* What the receipt says otherwise than its event, or says of it though the event does not; NULL
 * where they agree. */
const char *receipt_contradiction(const json_t *receipt, const struct ledger_event *event,
                                  const struct consent *consent, struct arena *arena);
/* What the receipt of an erasure says otherwise than its event; NULL where they agree. */
const char *receipt_erasure_contradiction(const json_t *receipt, const struct ledger_event *event);
/* What it says of the event, all of it, as a JSON object. */
void receipt_erasure_record(const struct ledger_event *event, struct buf *out);
/* Appends the JSON of such a receipt, without proof.signature. */
void receipt_write_erasure(const struct receipt_facts *f, struct buf *out);
/* Appends the JSON, without proof.signature. */
void receipt_write(const struct receipt_facts *f, struct buf *out);

#endif
