#define NAME(routine) cdm_tiny_avx512_c##routine
#define NARROW_NAME(routine) cdm_tiny_avx2_c##routine
#include "offload/tiny/lanes_s512.h"
#include "offload/tiny/element_8_512.h"
#include "offload/tiny/complex.h"
#include "offload/tiny/routines.h"
