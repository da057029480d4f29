// main() of the tests of a whole cluster, and of the processes that they start.
#include <sys/prctl.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include <leasepool/leasepool.hpp>

#include "cluster/functions.hpp"
#include "cluster/parts.hpp"
#include "run_tests.hpp"

int main(int argc, char** argv) {
  if (argc != 8 || std::string_view(argv[1]) != "--part") {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    leasepool::init();
    return run_tests(argc, argv);
  }
  const cluster::PartOptions options{.part = argv[2],
                                     .servers = argv[3],
                                     .log = argv[4],
                                     .id = std::stoull(argv[5]),
                                     .heartbeat = std::chrono::milliseconds(std::stoll(argv[6])),
                                     .node_timeout = std::chrono::milliseconds(std::stoll(argv[7]))};
  // Before the fork server, whose workers have it from there. NOLINTBEGIN(concurrency-mt-unsafe)
  ::setenv(cluster::kLogVariable, options.log.c_str(), 1);
  ::setenv(cluster::kAtOnceVariable, std::to_string(cluster::kPools * cluster::kWorkers).c_str(), 1);
  // NOLINTEND(concurrency-mt-unsafe)
  leasepool::init();
  return cluster::run_part(options);
}
