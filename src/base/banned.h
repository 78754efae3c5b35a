/* base/banned.h - functions that have caused enough trouble elsewhere: using one does not compile.
 */
#ifndef KUA_BASE_BANNED_H
#define KUA_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KUA__BANNED(name) name##_is_banned_see_base_banned_h

#undef strcpy
#define strcpy KUA__BANNED(strcpy) /* kua__buf, snprintf */
#undef strcat
#define strcat KUA__BANNED(strcat)
#undef sprintf
#define sprintf KUA__BANNED(sprintf) /* snprintf */
#undef strtok
#define strtok KUA__BANNED(strtok)
#undef atoi
#define atoi KUA__BANNED(atoi) /* kua__parse_i64 */
#undef atof
#define atof KUA__BANNED(atof)
#undef rand
#define rand KUA__BANNED(rand) /* kua__rng */
#undef gets
#define gets KUA__BANNED(gets)

#endif
