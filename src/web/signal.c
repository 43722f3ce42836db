/* signal.c - Global Privacy Control in the portal (W3C Global Privacy Control §3, §5): a consumer
 * whose browser says so when they see what is done with their data has opted out, where their law
 * demands that this be honoured. */
#include "web/private.h"

static const struct policy_law *law_of(const struct visit *v)
{
    const struct policy_law *law = v->policy ? policy_law_of(v->policy, v->who.residence) : NULL;
    return law && law->opt_out_signal.n ? law : NULL;
}

bool signal_holds(const struct visit *v)
{
    return v->who.opt_out_signal && law_of(v);
}

/* Who acts for somebody has a browser of their own. */
bool signal_is_new(const struct visit *v)
{
    return str_is(http_header(v->call, "Sec-GPC"), "1") && !v->who.opt_out_signal &&
           !v->session.acting && law_of(v);
}

static int after_signal(struct http_call *call)
{
    return web_written(call, arena_cstr(&call->arena, call->path));
}

int signal_record(struct visit *v)
{
    struct web_write *w = web_write_new(v, WRITE_CONSUMER);
    w->w.set.has_opt_out_signal = w->w.set.opt_out_signal = true;
    return web_submit(w, after_signal);
}
