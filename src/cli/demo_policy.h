/*
 * demo_policy.h - the demo company's policy (the folder policy/), built into the program so that an
 * installed one can create the demo. Names are relative to that folder: "laws/gdpr.yaml".
 */
#ifndef LOV_CLI_DEMO_POLICY_H
#define LOV_CLI_DEMO_POLICY_H

#include "db/schema.h"

extern const struct embedded embedded_policy[];
extern const size_t embedded_policy_count;

#endif
