/* receipt_private.h - what a receipt is made of. Private. */
#ifndef LOV_CONSENT_RECEIPT_PRIVATE_H
#define LOV_CONSENT_RECEIPT_PRIVATE_H

#include "consent/consent.h"
#include "consent/receipt.h"
#include "ledger/proof.h"

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
/* Appends the JSON, without proof.signature. */
void receipt_write(const struct receipt_facts *f, struct buf *out);

#endif
