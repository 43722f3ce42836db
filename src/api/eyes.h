/*
 * eyes.h - four eyes: once two members of staff have had an account and a role with power over the
 * rules (policies, keys, staff, reads of many), what one person proposes is approved by another
 * one, who sits at the console. They stay from then on, whoever leaves.
 *
 * Then no policy comes into force without an approval, but from the machine itself and when it is
 * asked for in so many words; and API keys neither approve nor give such power, to keys or to
 * staff. Who was given it by anybody but the machine approves EYES_WAIT_DAYS later, so that those
 * who have it see it coming.
 */
#ifndef LOV_API_EYES_H
#define LOV_API_EYES_H

#include "consent/consent.h"

enum { EYES_WAIT_DAYS = 7 };

/* Has one of the roles, apart by spaces, power over the rules? */
bool eyes_power(struct str roles);
/* In a write that gave one of the staff an account or roles: notes that they have power, where they
 * do, and says so for the event. */
int eyes_note(struct write_scope *scope, const struct uid *staff, bool *power, struct err *err);

#endif
