#include <stdio.h>
#include <kua/engine.h>

int main(int argc, char **argv) /* recommend WORKSPACE MODEL USER */
{
    kua_workspace *shop = NULL;
    kua_hit hits[10];
    size_t n = 0;
    kua_status st = argc == 4 ? kua_workspace_open(argv[1], NULL, &shop) : KUA_INVALID;
    if (!st)
        st = kua_recommend(shop, &(kua_recommend_options){.model = argv[2], .user = argv[3]}, hits,
                           10, &n);
    for (size_t i = 0; i < n; i++)
        printf("%.3f %s\n", hits[i].score, hits[i].name);
    if (st) fprintf(stderr, "%s\n", argc == 4 ? kua_error_message() : kua_status_text(st));
    kua_workspace_close(shop);
    return st != KUA_OK;
}
