#define NAME(routine) cdm_tiny_avx2_d##routine
#include "offload/tiny/lanes_d.h"
#include "offload/tiny/element_8.h"
#include "offload/tiny/real.h"
#include "offload/tiny/routines.h"
