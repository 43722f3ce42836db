/* A document as PDF: it is one, it goes on for as many pages as it needs, and hostile text is text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/pdf.h"

static int pages_of(const struct buf *pdf)
{
    int pages = 0;
    const char *p = pdf->p, *end = pdf->p + pdf->n;
    static const char mark[] = "/Type /Page";
    while ((p = memmem(p, (size_t)(end - p), mark, sizeof mark - 1))) {
        p += sizeof mark - 1;
        pages += *p != 's';
    }
    return pages;
}

static void make(struct buf *out, int paragraphs, struct str text)
{
    struct err err = {0};
    struct str cells[] = {text, STR("2"), STR("3")};
    struct pdf *p = pdf_new(out, text, STR("Nordhandel"));
    pdf_heading(p, 1, text);
    for (int i = 0; i < paragraphs; i++)
        pdf_text(p, text);
    pdf_pair(p, STR("name"), text);
    pdf_row(p, cells, 3, true);
    pdf_row(p, cells, 3, false);
    assert_int_equal(pdf_finish(p, &err), 0);
    pdf_free(p);
}

static void test_a_document_has_as_many_pages_as_it_needs(void **state)
{
    (void)state;
    _cleanup_buf struct buf one = {0}, many = {0};
    make(&one, 1, STR("Förteckning över behandling"));
    make(&many, 200, STR("Förteckning över behandling"));
    assert_memory_equal(one.p, "%PDF-", 5);
    assert_int_equal(pages_of(&one), 1);
    assert_true(pages_of(&many) > 2);
}

static void test_any_text_is_text(void **state)
{
    (void)state;
    _cleanup_buf struct buf out = {0};
    make(&out, 1, STR("</P>(unbalanced \\ <b>&amp; \xf0\x9f\x98\x80 ) endobj %%EOF"));
    make(&out, 1, (struct str){0});
    assert_memory_equal(out.p, "%PDF-", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_document_has_as_many_pages_as_it_needs),
        cmocka_unit_test(test_any_text_is_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
