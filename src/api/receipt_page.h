/* receipt_page.h - a receipt as a page to print: HTML without scripts, in Swedish or English, with
 * a QR code. Private. */
#ifndef LOV_API_RECEIPT_PAGE_H
#define LOV_API_RECEIPT_PAGE_H

#include "base/err.h"
#include "base/str.h"
#include "db/schema.h"

/* The folder web/, built into the program. */
extern const struct embedded embedded_web[];
extern const size_t embedded_web_count;

/* "sv" of "SV": a language that pages are in, as a constant; empty where they are not. */
struct str receipt_page_language(struct str name);
/* Appends the page. `receipt` is what receipt_make() made; `base` what the server is reached by
 * ("https://consent.example.com"; empty: not known, and the code holds hashes alone); `language`
 * may be empty: that of the notice, or else English. */
int receipt_page(struct str receipt, struct str base, struct str language, struct buf *out,
                 struct err *err);
/* Appends the Content-Security-Policy that the page keeps to. */
void receipt_page_policy(struct buf *out);
/* Appends an SVG image of `text` as a QR code (ISO/IEC 18004), error correction level M, with the
 * quiet zone of four modules; nothing where it does not fit one. */
void qr_svg(struct str text, struct str label, struct buf *out);

#endif
