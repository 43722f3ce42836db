/* policy_json.h - policies, findings and changes as JSON. */
#ifndef LOV_API_POLICY_JSON_H
#define LOV_API_POLICY_JSON_H

#include "api/private.h"

void policy_write(const struct policy *p, struct jw *w);
/* The member "findings". */
void findings_write(const struct policy_findings *f, struct jw *w);
void change_write(const struct policy_change *c, const struct policy_effect *effect, struct jw *w);

#endif
