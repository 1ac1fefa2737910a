/* The routines, for the type that the including file has described. */
#pragma once
#include "offload/tiny/tile.h"
#include "offload/tiny/dots.h"
#include "offload/tiny/product.h"
#include "offload/tiny/gemm.h"
#include "offload/tiny/rank.h"
#include "offload/tiny/vector.h"
#include "offload/tiny/solve.h"
#include "offload/tiny/lu_registers.h"
#include "offload/tiny/lu_tall.h"
#include "offload/tiny/lu.h"
#include "offload/tiny/cholesky.h"
