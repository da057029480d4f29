// main() of the tests that use worker processes: the fork server starts while there is one thread.
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>

#include <leasepool/leasepool.hpp>

#include "run_tests.hpp"
#include "support/sanitized.hpp"

int main(int argc, char** argv) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);  // so that the fork servers are found among this program's children
  leasepool::init();
  const int result = run_tests(argc, argv);
  // After so many threads its runtime takes the destructor of a constant that no thread has touched for a race, and
  // crashes while it says so. All that a test could do wrong has been reported by then.
  if (leasepool::test::kThreadSanitized) {
    std::fflush(nullptr);
    ::_exit(result);
  }
  return result;
}
