/* decide.c - asks the permit index for one consumer, or for many.
 *
 *     cc decide.c -o decide $(pkg-config --cflags --libs lov)
 *     ./decide FOLDER RECIPIENT PURPOSE CATEGORY CONSUMER...
 *
 * Ends with 0 when all are permitted, with 1 when one is not. */
#include <lov.h>
#include <stdio.h>
#include <stdlib.h>

static void show(struct lov *lov, const char *consumer, const struct lov_decision *d)
{
    char text[2048];
    lov_explain(lov, d, text, sizeof text);
    printf("%s %s\n", consumer, text);
}

int main(int argc, char **argv)
{
    struct lov *lov;
    char error[256];
    if (argc < 6) {
        fprintf(stderr, "usage: decide FOLDER RECIPIENT PURPOSE CATEGORY CONSUMER...\n");
        return 2;
    }
    if (lov_open(argv[1], &lov, error, sizeof error) != 0) {
        fprintf(stderr, "%s\n", error);
        return 2;
    }
    size_t count = (size_t)argc - 5;
    const char *const *consumers = (const char *const *)argv + 5;
    struct lov_decision one, *many = calloc(count, sizeof *many);
    if (!many)
        return 2;
    size_t permits = 0;
    if (count == 1) {
        permits = (size_t)lov_decide(lov, argv[2], argv[3], argv[4], consumers[0], 0, &one);
        show(lov, consumers[0], &one);
    } else {
        permits = lov_decide_many(lov, argv[2], argv[3], argv[4], consumers, count, 0, many);
        for (size_t i = 0; i < count; i++)
            show(lov, consumers[i], &many[i]);
    }
    free(many);
    lov_close(lov);
    return permits == count ? 0 : 1;
}
