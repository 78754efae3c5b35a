/* data/shop_atomic.c - RecBole atomic files straight into a shop in memory, for tests and
 * benchmarks: an import of each domain, without a store. */
#include <assert.h>

#include "data/intake.h"
#include "data/shop_build.h"

kua_status kua__shop_from_atomic(const kua__atomic_domain *domains, size_t n, kua__shop **out)
{
    assert((domains || n == 0) && out);
    kua__import_options *imports;
    *out = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&imports, n, "imports"));
    for (size_t d = 0; d < n; d++) {
        imports[d] = (kua__import_options){
            .domain = domains[d].name, .items = domains[d].items, .events = domains[d].events};
    }
    kua_status st = kua__shop_from_files(imports, n, out);
    kua__free(imports);
    return st;
}
