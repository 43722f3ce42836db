/*
 * template.h - text with holes, filled from JSON; for HTML.
 *
 *   {{a.b}}           the text or number at that path, escaped for HTML text and quoted attributes
 *   {{{a.b}}}         the same as it is: for markup that we made ourselves
 *   {{#a}}...{{/a}}   once for each item of an array; once for anything else that is not empty
 *   {{^a}}...{{/a}}   once where there is none, or it is empty or false
 *
 * A path is looked up in the item at hand, then in what is around it; {{.}} is the item itself.
 * What is not there is empty. Templates are ours: a malformed one is a bug().
 */
#ifndef LOV_BASE_TEMPLATE_H
#define LOV_BASE_TEMPLATE_H

#include <jansson.h>

#include "base/str.h"

void template_render(struct str text, const json_t *values, struct buf *out);
/* Escapes & < > " and '. */
void html_escape(struct str text, struct buf *out);

#endif
