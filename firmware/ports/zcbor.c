/* zcbor.c: zcbor's C sources, which its Python package carries, as one unit: it compiles faster. */
#include <zcbor_common.c>
#include <zcbor_decode.c>
#include <zcbor_encode.c>
