/*
 * demo.h - what the files of lov demo share: who the demo company's customers are (from a data set
 * of real purchases), and what they answered (invented, by a rule that always draws the same).
 */
#ifndef LOV_CLI_DEMO_H
#define LOV_CLI_DEMO_H

#include "cli/cli.h"
#include "consent/consent.h"

enum { DEMO_CUSTOMERS_MAX = 99999 }; /* ids of five digits */

/* ---- cdnow.c ---- */

struct demo_purchase {
    unsigned customer, cds;
    int32_t day;
    struct str dollars; /* "11.77"; borrowed from the file */
};
/* How many purchases each customer made: the customer "00001" is number 1. */
struct demo_customers {
    unsigned *purchases;        /* by number; [0] is not used */
    size_t count;               /* the highest number */
    struct demo_purchase *list; /* by customer, then by day */
    size_t listed, cap;
    int32_t last_day;
    struct buf text; /* the file */
};
/* Reads CDNOW_master.txt: a header, then customer, yyyymmdd, number of CDs and dollars, apart by
 * blanks. At most `limit` customers. Takes over `text`. LOV_EINVAL names the line. */
int demo_customers_parse(struct buf *text, size_t limit, struct demo_customers *out,
                         struct err *err);
void demo_customers_free(struct demo_customers *customers);

/* ---- demo_rule.c ---- */

struct demo_person {
    unsigned number, purchases;
    char id[8];
    const char *residence; /* "SE" */
    struct str language;   /* of the notices shown */
};
struct demo_person demo_person(const struct demo_customers *customers, unsigned number);

struct demo_answer {
    bool asked, give, withdrawn;
    size_t categories; /* the first so many of the activity's */
    unsigned days_ago, seconds;
};
/* What the person answered for an activity, under the legal basis that it has for them. */
struct demo_answer demo_draw(const struct demo_person *person, const struct policy_activity *a,
                             enum policy_basis basis);

/* What the customer's n-th purchase (from 0) was, and at what second of its day. */
struct demo_goods {
    const char *department;
    unsigned seconds;
};
struct demo_goods demo_goods(const struct demo_person *person, unsigned n);

/* ---- demo_load.c ---- */

struct demo_counts {
    int64_t consumers, records, consents, given, refused, withdrawn, expired;
    struct buf first; /* id of the consent of 00001 for personal_offers */
};
int demo_load(struct engine *e, const struct demo_customers *customers, struct demo_counts *out,
              struct err *err);

#endif
