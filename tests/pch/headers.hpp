// What most test files include, compiled once a program: half of their build time otherwise.
#include <leasepool/leasepool.hpp>

#include "catch.hpp"
