#define NAME(routine) cdm_tiny_avx512_z##routine
#define NARROW_NAME(routine) cdm_tiny_avx2_z##routine
#include "offload/tiny/lanes_d512.h"
#include "offload/tiny/element_16_512.h"
#include "offload/tiny/complex.h"
#include "offload/tiny/routines.h"
