/* lint.c - the rules of the linter. */
#include "policy/draft.h"
void lint_names(struct draft *d){(void)d;}
void lint_purposes(struct draft *d){(void)d;}
void lint_recipients(struct draft *d){(void)d;}
void lint_activities(struct draft *d){(void)d;}
void lint_notices(struct draft *d){(void)d;}
