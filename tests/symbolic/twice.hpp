// A header's function, registered by all who include it.
#pragma once

#include "leasepool/function.hpp"

inline int twice(int value) { return 2 * value; }
LEASEPOOL_REGISTER(twice);
