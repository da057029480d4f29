// main() of the tests that use worker processes: the fork server starts while there is one thread.
#include <leasepool/leasepool.hpp>

#include "run_tests.hpp"

int main(int argc, char** argv) {
  leasepool::init();
  return run_tests(argc, argv);
}
