/* pdf.c - see pdf.h. Everything is a block of lines beside each other (one of a paragraph, several
 * of a row) that is as high as its highest; a block that does not fit begins a page. */
#include "base/pdf.h"

#include <cairo-pdf.h>
#include <pango/pangocairo.h>
#include <stdlib.h>

#include "base/crypt.h"

/* Points: A4, and what is around the text. */
static const double WIDTH = 595.28, HEIGHT = 841.89, MARGIN = 56, FOOT = 36, GAP = 10;

struct pdf {
    struct buf *out;
    cairo_surface_t *surface;
    cairo_t *cr;
    /* Its own: the one that pango keeps for a thread is never given back. */
    PangoFontMap *fonts;
    PangoContext *context;
    struct buf foot;
    double y;
    int page;
};

struct cell {
    struct str text;
    double x, width;
};

static cairo_status_t take_bytes(void *ctx, const unsigned char *p, unsigned n)
{
    buf_add(ctx, p, n);
    return CAIRO_STATUS_SUCCESS;
}

static PangoLayout *lay_out(struct pdf *p, struct str text, const char *font, double width)
{
    PangoLayout *layout = pango_layout_new(p->context);
    PangoFontDescription *description = pango_font_description_from_string(font);
    pango_layout_set_font_description(layout, description);
    pango_font_description_free(description);
    pango_layout_set_width(layout, (int)(width * PANGO_SCALE));
    pango_layout_set_wrap(layout, PANGO_WRAP_WORD_CHAR);
    pango_layout_set_text(layout, text.n ? text.p : "", (int)text.n);
    return layout;
}

static double height_of(PangoLayout *layout)
{
    int width, height;
    pango_layout_get_pixel_size(layout, &width, &height);
    return height;
}

static void write_foot(struct pdf *p)
{
    _cleanup_buf struct buf text = {0};
    buf_printf(&text, "%.*s  %d", STR_ARG(buf_view(&p->foot)), p->page);
    PangoLayout *layout = lay_out(p, buf_view(&text), "Sans 8", WIDTH - 2 * MARGIN);
    cairo_move_to(p->cr, MARGIN, HEIGHT - FOOT);
    pango_cairo_show_layout(p->cr, layout);
    g_object_unref(layout);
}

static void begin_page(struct pdf *p)
{
    p->page++;
    p->y = MARGIN;
}

static void end_page(struct pdf *p)
{
    write_foot(p);
    cairo_show_page(p->cr);
}

/* What is longer than a page is cut at its end: no text of a policy is. */
static void write_block(struct pdf *p, const char *tag, const struct cell *cells, size_t count,
                        const char *font, double before)
{
    PangoLayout *layouts[PDF_CELLS_MAX];
    double height = 0;
    for (size_t i = 0; i < count; i++) {
        layouts[i] = lay_out(p, cells[i].text, font, cells[i].width);
        double own = height_of(layouts[i]);
        height = own > height ? own : height;
    }
    if (p->y > MARGIN && p->y + before + height > HEIGHT - MARGIN - GAP) {
        end_page(p);
        begin_page(p);
    } else {
        p->y += before;
    }
    cairo_tag_begin(p->cr, tag, NULL);
    for (size_t i = 0; i < count; i++) {
        cairo_move_to(p->cr, cells[i].x, p->y);
        pango_cairo_show_layout(p->cr, layouts[i]);
        g_object_unref(layouts[i]);
    }
    cairo_tag_end(p->cr, tag);
    p->y += height;
}

struct pdf *pdf_new(struct buf *out, struct str title, struct str foot)
{
    _cleanup_buf struct buf name = {0};
    struct pdf *p = mem_zero(sizeof *p);
    buf_str(&name, title);
    p->out = out;
    p->surface = cairo_pdf_surface_create_for_stream(take_bytes, out, WIDTH, HEIGHT);
    cairo_pdf_surface_set_metadata(p->surface, CAIRO_PDF_METADATA_TITLE, name.n ? name.p : "");
    p->cr = cairo_create(p->surface);
    p->fonts = pango_cairo_font_map_new();
    p->context = pango_font_map_create_context(p->fonts);
    pango_cairo_update_context(p->cr, p->context);
    buf_str(&p->foot, foot);
    begin_page(p);
    return p;
}

void pdf_heading(struct pdf *p, int level, struct str text)
{
    static const char *const fonts[] = {"Sans Bold 18", "Sans Bold 13", "Sans Bold 10.5"};
    static const char *const tags[] = {"H1", "H2", "H3"};
    struct cell cell = {text, MARGIN, WIDTH - 2 * MARGIN};
    int i = level < 1 ? 0 : level > 3 ? 2 : level - 1;
    write_block(p, tags[i], &cell, 1, fonts[i], i == 0 ? 0 : i == 1 ? 2 * GAP : 1.4 * GAP);
}

void pdf_text(struct pdf *p, struct str text)
{
    struct cell cell = {text, MARGIN, WIDTH - 2 * MARGIN};
    write_block(p, "P", &cell, 1, "Sans 9.5", GAP / 2);
}

void pdf_pair(struct pdf *p, struct str name, struct str value)
{
    const double column = 140;
    struct cell cells[] = {{name, MARGIN, column - GAP},
                           {value, MARGIN + column, WIDTH - 2 * MARGIN - column}};
    write_block(p, "P", cells, 2, "Sans 9", GAP / 3);
}

void pdf_row(struct pdf *p, const struct str *texts, size_t count, bool head)
{
    struct cell cells[PDF_CELLS_MAX];
    size_t n = count < PDF_CELLS_MAX ? count : PDF_CELLS_MAX;
    double unit = (WIDTH - 2 * MARGIN) / (double)(n + 1), x = MARGIN;
    for (size_t i = 0; i < n; i++) {
        double width = i ? unit : 2 * unit;
        cells[i] = (struct cell){texts[i], x, width - GAP / 2};
        x += width;
    }
    write_block(p, "P", cells, n, head ? "Sans Bold 8.5" : "Sans 9", GAP / 2);
}

int pdf_finish(struct pdf *p, struct err *err)
{
    end_page(p);
    cairo_surface_finish(p->surface);
    cairo_status_t status = cairo_surface_status(p->surface);
    if (status == CAIRO_STATUS_SUCCESS)
        return 0;
    return err_set(err, LOV_EIO, "the PDF failed: %s", cairo_status_to_string(status));
}

void pdf_free(struct pdf *p)
{
    if (!p)
        return;
    g_object_unref(p->context);
    g_object_unref(p->fonts);
    cairo_destroy(p->cr);
    cairo_surface_destroy(p->surface);
    buf_free(&p->foot);
    free(p);
}
