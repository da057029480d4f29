// Runs the hostile functions under each profile; with --table, shows how each must end, as docs/sandbox.md has it.
#include <fcntl.h>
#include <unistd.h>
#include <leasepool/leasepool.hpp>

#include <cstdio>
#include <string_view>

#include "hostile.hpp"
#include "run_tests.hpp"

namespace {

constexpr int kSkipped = 77;

// The workers inherit the standard output of the fork server: what floods it is not for the log.
void start_with_quiet_workers() {
  const int output = ::dup(STDOUT_FILENO);
  const int nothing = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ::dup2(nothing, STDOUT_FILENO);
  leasepool::init();
  ::dup2(output, STDOUT_FILENO);
  ::close(output);
  ::close(nothing);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--table") {
    std::fputs(hostile::table().c_str(), stdout);
    return 0;
  }
  start_with_quiet_workers();
  const int result = run_tests(argc, argv);
  return result == 0 && hostile::skipped() ? kSkipped : result;
}
