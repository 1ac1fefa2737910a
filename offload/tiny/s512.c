#define NAME(routine) cdm_tiny_avx512_s##routine
#define NARROW_NAME(routine) cdm_tiny_avx2_s##routine
#include "offload/tiny/lanes_s512.h"
#include "offload/tiny/element_4_512.h"
#include "offload/tiny/real.h"
#include "offload/tiny/routines.h"
