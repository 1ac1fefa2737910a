#define NAME(routine) cdm_tiny_avx512_d##routine
#define NARROW_NAME(routine) cdm_tiny_avx2_d##routine
#include "offload/tiny/lanes_d512.h"
#include "offload/tiny/element_8_512.h"
#include "offload/tiny/real.h"
#include "offload/tiny/routines.h"
