/* accept.c - what a client would rather have: the lists of Accept and Accept-Language. */
#include <string.h>
#include <strings.h>

#include "http/http.h"

enum { FULL = 1000 };

/* "0", "0.5", "1.000" in thousandths (RFC 9110 §12.4.2); 0 for anything else. */
static int weight_of(struct str text)
{
    int place = FULL / 10, weight;
    if (text.n == 0 || text.n > 5 || (text.p[0] != '0' && text.p[0] != '1') ||
        (text.n > 1 && text.p[1] != '.'))
        return 0;
    weight = (text.p[0] - '0') * FULL;
    for (size_t i = 2; i < text.n; i++, place /= 10) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return 0;
        weight += (text.p[i] - '0') * place;
    }
    return weight <= FULL ? weight : 0;
}

bool http_accept_next(struct str *list, struct str *name, int *weight)
{
    while (list->n) {
        struct str item = str_cut(list, ',');
        struct str first = str_trim(str_cut(&item, ';'));
        if (first.n == 0)
            continue;
        *name = first;
        *weight = FULL;
        while (item.n) {
            struct str value = str_trim(str_cut(&item, ';'));
            struct str key = str_trim(str_cut(&value, '='));
            if (key.n == 1 && (key.p[0] == 'q' || key.p[0] == 'Q'))
                *weight = weight_of(str_trim(value));
        }
        return true;
    }
    return false;
}

int http_accept_weight(struct str list, const char *type)
{
    struct str name;
    int weight, best = 0;
    size_t known = 0, family = strcspn(type, "/") + 1;
    while (http_accept_next(&list, &name, &weight)) {
        size_t rank = 0;
        if (name.n == strlen(type) && strncasecmp(name.p, type, name.n) == 0)
            rank = 3;
        else if (name.n == family + 1 && name.p[family] == '*' &&
                 strncasecmp(name.p, type, family) == 0)
            rank = 2;
        else if (str_is(name, "*/*"))
            rank = 1;
        if (rank > known || (rank && rank == known && weight > best)) {
            known = rank;
            best = weight;
        }
    }
    return best;
}
