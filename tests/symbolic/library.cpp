// The functions that the library registers itself.
#include "library.hpp"

#include "twice.hpp"

int half(int value) { return value / 2; }
LEASEPOOL_REGISTER(half);

int (*twice_of_the_library())(int) { return twice; }
