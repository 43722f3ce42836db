/* cdnow.c - reads the purchases of CDNOW's customers. The file is 69,659 lines from 1997 and 1998;
 * only how often each customer bought is kept here. */
#include <stdlib.h>

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

static int take_line(struct demo_customers *c, struct str line, size_t number, size_t limit,
                     struct err *err)
{
    int64_t customer, day;
    struct str id = next_word(&line), date = next_word(&line);
    if (id.n != 5 || !str_to_int(id, 1, DEMO_CUSTOMERS_MAX, &customer) ||
        !str_to_int(date, 19000101, 99991231, &day))
        return err_set(err, LOV_EINVAL,
                       "line %zu of the purchases is not \"customer yyyymmdd CDs dollars\": give "
                       "CDNOW_master.txt",
                       number);
    if ((size_t)customer > limit)
        return 0;
    c->purchases[customer]++;
    if ((size_t)customer > c->count)
        c->count = (size_t)customer;
    return 0;
}

int demo_customers_parse(struct str text, size_t limit, struct demo_customers *out, struct err *err)
{
    struct demo_customers c = {0};
    int rc = 0;
    c.purchases = mem_zero((DEMO_CUSTOMERS_MAX + 1) * sizeof *c.purchases);
    for (size_t number = 1; text.n && rc == 0; number++) {
        struct str line = str_trim(str_cut(&text, '\n'));
        if (line.n && !(number == 1 && is_header(line)))
            rc = take_line(&c, line, number, limit, err);
    }
    if (rc == 0 && c.count == 0)
        rc = err_set(err, LOV_EINVAL, "the file of purchases holds none: give CDNOW_master.txt");
    if (rc)
        demo_customers_free(&c);
    else
        *out = c;
    return rc;
}

void demo_customers_free(struct demo_customers *customers)
{
    free(customers->purchases);
    *customers = (struct demo_customers){0};
}
