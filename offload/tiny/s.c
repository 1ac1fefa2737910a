#define NAME(routine) cdm_tiny_avx2_s##routine
#include "offload/tiny/lanes_s.h"
#include "offload/tiny/element_4.h"
#include "offload/tiny/real.h"
#include "offload/tiny/routines.h"
