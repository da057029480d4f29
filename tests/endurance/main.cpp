// main() of the long runs: the memory in which all processes count comes before the fork server.
#include <leasepool/leasepool.hpp>

#include "functions.hpp"
#include "outcomes.hpp"
#include "run_tests.hpp"

int main(int argc, char** argv) {
  endurance::make_marks(endurance::kMarks);
  leasepool::init();
  return run_tests(argc, argv);
}
