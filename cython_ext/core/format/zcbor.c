/* zcbor.c: zcbor's C sources, which its Python package carries, as one unit: it compiles faster, and
 * the warnings of system headers are not ours. */
#include <zcbor_common.c>
#include <zcbor_decode.c>
#include <zcbor_encode.c>
