/* reason.c - the reasons in words. */
#include <stddef.h>

#include "lov.h"

struct reason {
    const char *name, *text;
};

static const struct reason reasons[LOV_REASON_COUNT] = {
    [LOV_PERMITTED] = {"permitted", "The use is permitted."},
    [LOV_UNAVAILABLE] = {"unavailable", "No decision can be made now, so the answer is no."},
    [LOV_RECIPIENT_UNKNOWN] = {"recipient_unknown", "The policy knows no such recipient."},
    [LOV_RECIPIENT_SUSPENDED] = {"recipient_suspended", "The recipient is suspended."},
    [LOV_RECIPIENT_NOT_BEGUN] = {"recipient_not_begun",
                                 "The transfer to the recipient has not begun."},
    [LOV_RECIPIENT_CONTRACT_ENDED] = {"recipient_contract_ended",
                                      "The recipient's contract has ended."},
    [LOV_RECIPIENT_SAFEGUARDS_ENDED] = {"recipient_safeguards_ended",
                                        "The recipient's safeguards are no longer in force."},
    [LOV_RECIPIENT_TRAINING_LAPSED] = {"recipient_training_lapsed",
                                       "The training of the recipient's staff has lapsed."},
    [LOV_NOT_IN_POLICY] = {"not_in_policy",
                           "The policy does not allow this recipient to use this category for "
                           "this purpose."},
    [LOV_UNKNOWN_CONSUMER] = {"unknown_consumer", "No such consumer is known."},
    [LOV_ERASED] = {"erased", "The consumer was erased."},
    [LOV_RESTRICTED] = {"restricted", "The consumer had the use of their data restricted."},
    [LOV_NO_CONSENT] = {"no_consent", "The consumer has not been asked or has not answered."},
    [LOV_WITHDRAWN] = {"withdrawn", "The consumer has withdrawn the consent."},
    [LOV_REFUSED] = {"refused", "The consumer said no."},
    [LOV_EXPIRED] = {"expired", "The consent has expired."},
    [LOV_NOTICE_SUPERSEDED] = {"notice_superseded",
                               "The notice has changed materially since the consent was given."},
    [LOV_GUARDIAN_REQUIRED] = {"guardian_required",
                               "The consumer is too young to consent without a guardian."},
    [LOV_OPTED_OUT] = {"opted_out", "The consumer has opted out."},
    [LOV_OBJECTED] = {"objected", "The consumer has objected."},
};

static const struct reason *find(int reason)
{
    return reason >= 0 && reason < LOV_REASON_COUNT ? &reasons[reason] : NULL;
}

const char *lov_reason_name(int reason)
{
    const struct reason *r = find(reason);
    return r ? r->name : NULL;
}

const char *lov_reason_text(int reason)
{
    const struct reason *r = find(reason);
    return r ? r->text : NULL;
}
