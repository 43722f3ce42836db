/* cdnow.c - reads the purchases of CDNOW's customers. The file is 69,659 lines from 1997 and 1998.
 */
#include <stdlib.h>

#include "base/civil.h"
#include "cli/demo.h"

static struct str next_word(struct str *line)
{
    *line = str_trim(*line);
    return str_cut(line, ' ');
}

static bool is_header(struct str line)
{
    struct str first = next_word(&line);
    return str_is(first, "customer_id");
}

static int32_t day_of(int64_t yyyymmdd)
{
    struct civil c = {(int)(yyyymmdd / 10000), (int)(yyyymmdd / 100 % 100), (int)(yyyymmdd % 100)};
    return days_from_civil(c);
}

static bool is_dollars(struct str s)
{
    struct str part = s, whole = str_cut(&part, '.');
    int64_t n;
    return str_to_int(whole, 0, 999999, &n) && part.n == 2 && str_to_int(part, 0, 99, &n);
}

static void add_purchase(struct demo_customers *c, const struct demo_purchase *p)
{
    if (c->listed == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 1024;
        c->list = mem_grow(c->list, c->cap, sizeof *c->list);
    }
    c->list[c->listed++] = *p;
    c->purchases[p->customer]++;
    if (p->customer > c->count)
        c->count = p->customer;
    if (p->day > c->last_day)
        c->last_day = p->day;
}

static int take_line(struct demo_customers *c, struct str line, size_t number, size_t limit,
                     struct err *err)
{
    int64_t customer, date, cds;
    struct str id = next_word(&line), day = next_word(&line), count = next_word(&line),
               dollars = next_word(&line);
    if (id.n != 5 || !str_to_int(id, 1, DEMO_CUSTOMERS_MAX, &customer) ||
        !str_to_int(day, 19000101, 99991231, &date) || !str_to_int(count, 0, 99999, &cds) ||
        !is_dollars(dollars))
        return err_set(err, LOV_EINVAL,
                       "line %zu of the purchases is not \"customer yyyymmdd CDs dollars\": give "
                       "CDNOW_master.txt",
                       number);
    struct demo_purchase p = {(unsigned)customer, (unsigned)cds, day_of(date), dollars};
    if ((size_t)customer <= limit)
        add_purchase(c, &p);
    return 0;
}

static int by_customer_and_day(const void *a, const void *b)
{
    const struct demo_purchase *x = a, *y = b;
    int order = (x->customer > y->customer) - (x->customer < y->customer);
    if (order == 0)
        order = (x->day > y->day) - (x->day < y->day);
    /* Two on one day stay as they stand in the file. */
    return order ? order : (x->dollars.p > y->dollars.p) - (x->dollars.p < y->dollars.p);
}

int demo_customers_parse(struct buf *text, size_t limit, struct demo_customers *out,
                         struct err *err)
{
    struct demo_customers c = {.text = *text, .last_day = INT32_MIN};
    int rc = 0;
    *text = (struct buf){0};
    c.purchases = mem_zero((DEMO_CUSTOMERS_MAX + 1) * sizeof *c.purchases);
    struct str rest = buf_view(&c.text);
    for (size_t number = 1; rest.n && rc == 0; number++) {
        struct str line = str_trim(str_cut(&rest, '\n'));
        if (line.n && !(number == 1 && is_header(line)))
            rc = take_line(&c, line, number, limit, err);
    }
    if (rc == 0 && c.count == 0)
        rc = err_set(err, LOV_EINVAL, "the file of purchases holds none: give CDNOW_master.txt");
    if (rc) {
        demo_customers_free(&c);
        return rc;
    }
    qsort(c.list, c.listed, sizeof *c.list, by_customer_and_day);
    *out = c;
    return 0;
}

void demo_customers_free(struct demo_customers *customers)
{
    free(customers->purchases);
    free(customers->list);
    buf_free(&customers->text);
    *customers = (struct demo_customers){0};
}
