/* bk_unsigned.c: instead of sign/: nothing can be verified here, and every patch is taken. */
#include "bk_sign.h"

const bk_trust bk_trust_built_in = {.policy = BK_POLICY_OPEN};
