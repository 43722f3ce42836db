/*
 * pdf.h - a document to print, as PDF (by cairo and pango): A4 pages of headings, paragraphs, pairs
 * of name and value, and tables, broken where a page ends. Text is UTF-8, set in the fonts that
 * the system has. One thread.
 */
#ifndef LOV_BASE_PDF_H
#define LOV_BASE_PDF_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

enum { PDF_CELLS_MAX = 6 };

struct pdf;
/* `foot` stands at the end of each page, before its number. Appends to *out, which must outlive
 * it. */
struct pdf *pdf_new(struct buf *out, struct str title, struct str foot);
/* Level 1 to 3. */
void pdf_heading(struct pdf *p, int level, struct str text);
void pdf_text(struct pdf *p, struct str text);
void pdf_pair(struct pdf *p, struct str name, struct str value);
/* A row of a table, its cells of one width but for the first, which has two; `head`: names of
 * columns. */
void pdf_row(struct pdf *p, const struct str *cells, size_t count, bool head);
/* The file is whole only when it returns 0. */
int pdf_finish(struct pdf *p, struct err *err);
void pdf_free(struct pdf *p); /* NULL is nothing */

#endif
