#define NAME(routine) cdm_tiny_avx2_z##routine
#include "offload/tiny/lanes_d.h"
#include "offload/tiny/element_16.h"
#include "offload/tiny/complex.h"
#include "offload/tiny/routines.h"
