#define NAME(routine) cdm_tiny_avx2_c##routine
#include "offload/tiny/lanes_s.h"
#include "offload/tiny/element_8.h"
#include "offload/tiny/complex.h"
#include "offload/tiny/routines.h"
